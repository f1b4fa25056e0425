"""Recipes, overrides, and one report of everything that is wrong."""

import os
import shutil
from pathlib import Path

import pytest
import yaml

from configs.errors import EXIT_USAGE, ConfigError
from configs.recipe.load import dump_config, load_config, validate
from configs.recipe.schema import LINEAR_LAYERS
from configs.run.rundir import RunDir

MINIMAL = "name: shop\nmodel: Qwen/Qwen3-0.6B\ndata:\n  sources: [rows.jsonl]\n"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "shop.yaml"
    file.write_text(MINIMAL, encoding="utf-8")
    return file


def write(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def test_a_minimal_recipe_gets_the_articles_defaults(recipe: Path) -> None:
    config = load_config(recipe)
    assert config.lora.r == 16
    assert config.lora.target_modules == "auto"
    assert config.lora.named_modules == LINEAR_LAYERS
    assert (config.train.learning_rate, config.train.rows_per_step, config.train.epochs) == (2e-5, 8, 2)
    assert config.served_name == "shop"


def test_overrides_set_nested_keys_and_list_items(recipe: Path) -> None:
    config = load_config(recipe, ["train.learning_rate=2e-4", "data.sources.0=other.jsonl", "serve.name=客服"])
    assert config.train.learning_rate == 2e-4
    assert config.data.sources[0].path == "other.jsonl"
    assert config.served_name == "客服"


def test_numbers_among_the_servers_arguments_are_text(recipe: Path) -> None:
    config = load_config(recipe, ["serve.args=[--max-num-seqs, 64, --seed=1]"])
    assert config.serve.args == ["--max-num-seqs", "64", "--seed=1"]


def test_a_misspelt_key_names_file_line_key_and_the_nearest_known_key(recipe: Path) -> None:
    write(recipe, MINIMAL + "train:\n  learnig_rate: 1e-4\n")
    with pytest.raises(ConfigError) as caught:
        load_config(recipe)
    assert "shop.yaml:6: unknown key `train.learnig_rate`; did you mean `learning_rate`?" in str(caught.value)
    assert caught.value.exit_code == EXIT_USAGE


def test_a_key_in_the_wrong_section_is_pointed_to_its_own(recipe: Path) -> None:
    write(recipe, MINIMAL + "lora:\n  gradient_checkpointing: off\n")
    with pytest.raises(ConfigError, match=r"did you mean `train\.gradient_checkpointing`"):
        load_config(recipe)


def test_all_errors_come_in_one_report(recipe: Path) -> None:
    write(recipe, MINIMAL + "seeed: 1\ntrain:\n  epochs: -1\n  precision: 5bit\nserve:\n  port: 99999\n")
    with pytest.raises(ConfigError) as caught:
        load_config(recipe)
    text = str(caught.value)
    assert "4 errors in the configuration" in text
    for part in ("`seeed`", "`train.epochs`", "`train.precision`", "`serve.port`", "got '5bit'"):
        assert part in text


def test_a_missing_required_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`model` is required"):
        load_config(write(tmp_path / "a.yaml", "name: a\ndata: rows.jsonl\n"))


def test_a_wrong_override_is_named_as_such(recipe: Path) -> None:
    with pytest.raises(ConfigError, match=r"override 'train.lora_r=8': unknown key `train.lora_r`"):
        load_config(recipe, ["train.lora_r=8"])
    with pytest.raises(ConfigError, match=r"1 error in .*\n  override 'data.sources=\[1\]': `data.sources.0`"):
        load_config(recipe, ["data.sources=[1]"])
    with pytest.raises(ConfigError, match=r"expected section\.key=value"):
        load_config(recipe, ["--lr"])
    with pytest.raises(ConfigError, match="there is no item 3"):
        load_config(recipe, ["data.sources.3=x"])


def test_a_missing_recipe_and_broken_yaml_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such recipe"):
        load_config(tmp_path / "demoo.yaml")
    with pytest.raises(ConfigError, match=r"a\.yaml:2: not valid YAML"):
        load_config(write(tmp_path / "a.yaml", "name: a\n  b: [\n"))


def test_paths_are_found_beside_the_recipe_and_hub_ids_stay(recipe: Path) -> None:
    write(recipe.parent / "rows.jsonl", "{}\n")
    config = load_config(recipe, ["data.heldout={path: ./nowhere.jsonl}"])
    assert config.data.sources[0].path == str(recipe.parent / "rows.jsonl")
    assert config.data.heldout is not None
    assert config.data.heldout.path == str(recipe.parent / "nowhere.jsonl")
    assert config.model == "Qwen/Qwen3-0.6B"
    sampled = load_config(recipe, ["data.sources=rows.jsonl#500"])
    assert sampled.data.sources[0].path == str(recipe.parent / "rows.jsonl") + "#500"


def test_replay_by_the_base_itself_is_one_word_and_no_path(recipe: Path) -> None:
    (recipe.parent / "self").mkdir()
    for words in (["data.replay=self"], ["data.replay={source: self}"], ["data.replay.source=self"]):
        config = load_config(recipe, words)
        assert config.replays_itself
        assert config.measures_unseen
        assert config.data.replay is not None
        assert config.data.replay.given is None
    folder = load_config(recipe, ["data.replay=./self"])
    assert not folder.replays_itself
    assert not folder.measures_unseen
    assert folder.data.replay is not None
    assert folder.data.replay.given is not None
    assert folder.data.replay.given.path == str((recipe.parent / "self").resolve())


def test_a_key_beside_a_shorthand_leaves_what_it_stands_for(recipe: Path) -> None:
    config = load_config(recipe, ["data.replay=self", "data.replay.ratio=0.5", "data.heldout=./h.jsonl"])
    assert config.replays_itself
    assert config.data.replay is not None
    assert config.data.replay.ratio == 0.5
    held = load_config(recipe, ["data.heldout=./h.jsonl", "data.heldout.format=alpaca"]).data.heldout
    assert held is not None
    assert (Path(held.path).name, held.format) == ("h.jsonl", "alpaca")


def test_the_dumped_config_loads_as_the_same_run(recipe: Path, tmp_path: Path) -> None:
    config = load_config(recipe, ["train.epochs=3"])
    again = load_config(write(tmp_path / "again.yaml", dump_config(config)))
    assert again == config


def test_a_recipe_of_the_project_goes_by_its_name_and_rows_lie_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config("demo").name == "demo"
    assert Path(load_config("demo").model).is_dir()
    assert load_config("qwen3-8b").data.sources[0].path == str(tmp_path / "train.jsonl")
    with pytest.raises(ConfigError, match=r"did you mean qwen3-14b-12gb, qwen3-14b-24gb or qwen3-14b-a100"):
        load_config("qwen3-14b")


@pytest.mark.parametrize("file", sorted((Path(__file__).parents[3] / "configs").glob("*.yaml")), ids=lambda f: f.stem)
def test_every_recipe_loads_and_says_what_it_is_for(file: Path) -> None:
    config = load_config(file)
    assert config.name == file.stem
    assert file.read_text(encoding="utf-8").startswith("# ")
    assert yaml.safe_load(file.read_text(encoding="utf-8"))["data"]["sources"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("merge.scale=3", "`merge.scale`: Input should be less than or equal to 2 or 'auto', got 3"),
        ("train.rows_per_step=0", "`train.rows_per_step`: Input should be greater than 0 or 'auto', got 0"),
        ("data.replay=selff", "did you mean self?"),
    ],
)
def test_a_key_that_takes_several_kinds_says_them_in_one_line(tmp_path: Path, override: str, said: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("name: a\nmodel: x/y\ndata: {sources: a.jsonl}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(file, [override])
    assert said in caught.value.message
    assert caught.value.message.startswith("1 error in the configuration\n")


@pytest.mark.parametrize("place", [b"\xff", "\u5ba2\u670d".encode("gb18030")])
def test_a_folder_that_is_not_utf8_is_refused_before_anything_is_written(place: bytes, tmp_path: Path) -> None:
    """Manifest and recipe hold absolute paths, in UTF-8."""
    folder = tmp_path / os.fsdecode(place)
    folder.mkdir()
    (folder / "r.yaml").write_text("name: a\nmodel: m\ndata: rows.jsonl\n", encoding="utf-8")
    assert load_config(folder / "r.yaml").model == "m"
    (folder / "rows.jsonl").touch()
    with pytest.raises(ConfigError, match="this path is not UTF-8"):
        load_config(folder / "r.yaml")


def test_text_that_nothing_can_hold_is_refused(tmp_path: Path) -> None:
    foreign = {"model": "owner/other", "template": "a\udc00"}
    with pytest.raises(ConfigError, match="holds text that is not UTF-8"):
        validate({"name": "r", "model": "owner/model", "data": "rows.jsonl", "foreign": foreign}, tmp_path / "r.yaml")


@pytest.mark.parametrize(
    "key",
    ["model=%s", "data.sources.0=%s", "foreign={model: %s}", "eval.tasks=[{type: qa, path: %s}]", "serve.args=[%s]"],
)
def test_no_key_takes_an_address_with_user_and_password(key: str, recipe: Path) -> None:
    """It would stand in the run's name, its files and its reports."""
    with pytest.raises(ConfigError, match=r"user and password in an address.*got \S*http://127\.0\.0\.1/m"):
        load_config(recipe, [key % "'http://me:secret@127.0.0.1/m'"])


def test_the_recipe_of_a_run_that_was_moved_means_the_folder_that_it_lies_in(recipe: Path, tmp_path: Path) -> None:
    run = RunDir.create(load_config(recipe, [f"output_dir={tmp_path / 'runs'}"]))
    assert load_config(run.config_file).output_dir == str(tmp_path / "runs")
    copy = shutil.copytree(run.path, tmp_path / "others" / "shop-2")
    config = load_config(copy / "config.yaml")
    assert (config.output_dir, config.name) == (str(copy.parent), "shop-2")
    config = load_config(copy / "config.yaml", ["name=third"])
    assert (config.output_dir, config.name) == (str(copy.parent), "third")
    (copy / "run.json").rename(copy / ".run.json.before")
    assert load_config(copy / "config.yaml").name == "shop-2"
    (copy / "config.yaml").unlink()
    (copy / "config.yaml").symlink_to(run.config_file)
    assert load_config(copy / "config.yaml").name == "shop-2"
    nowhere = shutil.copytree(run.path, tmp_path / "others" / "shop 3")
    run.config_file.unlink()
    assert load_config(run.config_file) == run.config() == run.read().config
    run.manifest_file.write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"run\.json: damaged, and config\.yaml is gone"):
        load_config(run.config_file)
    with pytest.raises(ConfigError, match=r"the folder .*/shop 3: `name`"):
        load_config(nowhere / "config.yaml")


def test_home_stands_for_itself_in_output_dir(recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert load_config(recipe, ["output_dir=~/runs"]).output_dir == str(tmp_path / "me" / "runs")


@pytest.mark.parametrize("word", ["true", "yes", "on", "off"])
@pytest.mark.parametrize("key", ["eval.suite", "train.early_stopping", "data.max_dropped", "merge.scale", "eval.seed"])
def test_yes_is_no_number(key: str, word: str, recipe: Path) -> None:
    with pytest.raises(ConfigError, match=f"`{key}`: a number is wanted, and (true|false) is none"):
        load_config(recipe, [f"{key}={word}"])


def test_on_and_off_are_words_where_a_key_takes_them(recipe: Path) -> None:
    write(recipe, MINIMAL + "train:\n  gradient_checkpointing: on\n  cuda_graphs: off\n")
    config = load_config(recipe, ["thinking=on"])
    assert (config.train.gradient_checkpointing, config.train.cuda_graphs, config.thinking) == ("on", "off", True)


def test_a_number_is_what_everybody_reads(recipe: Path) -> None:
    """YAML 1.1 takes 010 for eight and 1:30 for ninety."""
    config = load_config(recipe, ["data.max_length=010", "serve.args=[--a, 010, 1:30]"])
    assert config.data.max_length == 10
    assert config.serve.args == ["--a", "010", "1:30"]
    with pytest.raises(ConfigError, match="got '1:30'"):
        load_config(recipe, ["train.epochs=1:30"])


def test_a_key_of_a_source_written_as_a_path_can_be_set(recipe: Path) -> None:
    source = load_config(recipe, ["data.sources.0.weight=2"]).data.sources[0]
    assert (source.path, source.weight) == ("rows.jsonl", 2)


@pytest.mark.parametrize("key", ["eval_steps", "save_steps"])
def test_steps_are_whole_and_shares_below_one(key: str, recipe: Path) -> None:
    assert getattr(load_config(recipe, [f"train.{key}=12"]).train, key) == 12
    with pytest.raises(ConfigError, match=f"`train.{key}`: a number of steps is whole"):
        load_config(recipe, [f"train.{key}=1.5"])
