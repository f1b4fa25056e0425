"""Every data set is read in the layout its authors publish, and in a hub's."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from configs.errors import ConfigError, DataError
from configs.recipe.schema import TaskConfig
from eval.compare import blocks, own_answers
from eval.tasks import Task, load_task, load_tasks, sizes


def load(kind: str, path: Path, **keys: object) -> Task:
    (task,) = load_task(TaskConfig.model_validate({"name": kind, "type": kind, "path": str(path), **keys}))
    return task


def prompt(task: Task, index: int = 0) -> str:
    return str(task.items[index].messages[-1]["content"])


SQUAD = {
    "version": "1.1",
    "data": [
        {
            "paragraphs": [
                {
                    "id": "P1",
                    "context": "长城在北方。",
                    "qas": [
                        {"id": "Q1", "question": "长城在哪？", "answers": [{"text": "北方"}, {"text": "在北方"}]},
                        {"id": "Q2", "question": "什么在北方？", "answers": [{"text": "长城"}]},
                    ],
                }
            ]
        }
    ],
}
FIRST_LAYOUT = [
    {
        "context_id": "P1",
        "context_text": "长城在北方。",
        "qas": [{"query_id": "Q1", "query_text": "长城在哪？", "answers": ["北方", "在北方"]}],
    }
]
FLAT = [{"id": "Q1", "context": "长城在北方。", "question": "长城在哪？", "answers": {"text": ["北方", "在北方"]}}]


@pytest.mark.parametrize(("kind", "value"), [("cmrc", SQUAD), ("drcd", SQUAD), ("cmrc", FIRST_LAYOUT), ("cmrc", FLAT)])
def test_squad(tmp_path: Path, kind: str, value: object) -> None:
    file = tmp_path / "dev.json"
    file.write_text(json.dumps(value), encoding="utf-8")
    task = load(kind, file)
    item = task.items[0]
    assert (task.kind, task.group) == ("qa", "reading")
    assert (item.id, list(item.references)) == ("Q1", ["北方", "在北方"])
    assert item.cluster
    assert "短文：长城在北方。" in prompt(task)
    assert prompt(task).endswith("问题：长城在哪？\n答案：")


def test_squad_questions_on_a_paragraph_share_a_cluster(tmp_path: Path) -> None:
    file = tmp_path / "dev.json"
    file.write_text(json.dumps(SQUAD), encoding="utf-8")
    assert [item.cluster for item in load("cmrc", file).items] == ["P1", "P1"]


def test_parquet_from_a_hub(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "data").mkdir()
    parquet.write_table(pyarrow.Table.from_pylist(FLAT), tmp_path / "data" / "validation-00000-of-00001.parquet")
    assert load("cmrc", tmp_path).items[0].references == ["北方", "在北方"]


def test_first_rows_of_equal_cells_and_long_cells_are_rows(tmp_path: Path) -> None:
    long = "长" * 200_000
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "law.csv").write_text(f"{long},1,1,2,2,A\n", encoding="utf-8")
    assert load("mmlu", tmp_path, shots=0).items[0].choices == {"A": "1", "B": "1", "C": "2", "D": "2"}
    (tmp_path / "ts_test.tsv").write_text(f"t\t{long}\t标题\n", encoding="utf-8")
    assert load("csl", tmp_path / "ts_test.tsv").items[0].source == long


def test_csl(tmp_path: Path) -> None:
    (tmp_path / "ts_test.tsv").write_text('to title\t研究了"引号.\t引号研究\n', encoding="utf-8")
    task = load("csl", tmp_path)
    assert (task.kind, task.items[0].references, task.items[0].source) == ("summary", ["引号研究"], '研究了"引号.')


def test_lcsts_uses_pairs_that_a_human_approved(tmp_path: Path) -> None:
    body = "<summary>\n标题{0}\n</summary>\n<short_text>\n新闻{0}\n</short_text>"
    doc = f"<doc id={{0}}>\n<human_label>{{0}}</human_label>\n{body}\n</doc>\n"
    (tmp_path / "PART_III.txt").write_text("".join(doc.format(n) for n in range(1, 6)), encoding="utf-8")
    task = load("lcsts", tmp_path)
    assert [item.references[0] for item in task.items] == ["标题3", "标题4", "标题5"]
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"content": "新闻", "summary": "标题"}\n', encoding="utf-8")
    assert load("lcsts", rows).items[0].source == "新闻"


def test_gsm8k_with_and_without_examples(tmp_path: Path) -> None:
    row = {"question": "Two and {0}?", "answer": "2+{0}=<<2+{0}=4>>4\n#### {0},000"}
    for split in ("test", "train"):
        lines = [json.dumps({key: text.format(n) for key, text in row.items()}) for n in range(1, 4)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        (tmp_path / f"._{split}.jsonl").write_bytes(b"\0\5\x16\7")
    task = load("gsm8k", tmp_path)
    assert (task.kind, task.group, list(task.items[0].references)) == ("number", "reasoning", ["1,000"])
    # Of a folder the training file is asked too, of the test file alone it is not.
    assert [item.id for item in task.items][2:4] == ["gsm8k-00003", "gsm8k-train-00001"]
    assert (len(task.items), task.max_tokens) == (6, 800)
    assert len(load("gsm8k", tmp_path / "test.jsonl").items) == 3
    shown = load("gsm8k", tmp_path, shots=2)
    assert prompt(shown).count("####") == 3
    assert "<<" not in prompt(shown)
    # What was shown is not asked.
    assert len(shown.items) == 4
    assert len(load("gsm8k", tmp_path / "train.jsonl", shots=2).items) == 1
    (tmp_path / "train.jsonl").unlink()
    with pytest.raises(DataError, match="no training file"):
        load("gsm8k", tmp_path, shots=2)


def exam_folder(root: Path, split: str, suffix: bool, header: str) -> Path:
    """Five examples and two questions of one subject."""
    for folder, count in (("dev", 5), (split, 2)):
        (root / folder).mkdir(parents=True)
        name = f"astronomy_{folder}.csv" if suffix else "astronomy.csv"
        lines = [f"{n},{folder}题{n},甲,乙,丙,丁,{'ABCD'[n % 4]}" for n in range(count)]
        if not header:
            lines = [line.split(",", 1)[1] for line in lines]
        (root / folder / name).write_text("\n".join([header, *lines] if header else lines) + "\n", encoding="utf-8")
    return root


def test_cmmlu_official_prompt(tmp_path: Path) -> None:
    task = load("cmmlu", exam_folder(tmp_path, "test", False, ",Question,A,B,C,D,Answer"))
    assert (task.kind, task.macro, task.shots, len(task.items)) == ("choice", True, 5, 2)
    text = prompt(task, 1)
    assert text.startswith("以下是关于天文学的单项选择题，请直接给出正确答案的选项。\n\n题目：dev题0\nA. 甲\n")
    assert "答案是：A\n\n题目：dev题1" in text
    assert text.endswith("题目：test题1\nA. 甲\nB. 乙\nC. 丙\nD. 丁\n答案是：")
    assert (task.items[1].references, task.items[1].detail) == (["B"], {"subject": "astronomy"})


def test_ceval_official_prompt(tmp_path: Path) -> None:
    root = exam_folder(tmp_path / "exam", "val", True, "id,question,A,B,C,D,answer")
    for path in list(root.rglob("astronomy*")):
        path.rename(path.with_name(path.name.replace("astronomy", "law")))
    text = prompt(load("ceval", root))
    assert text.startswith("以下是中国关于法学考试的单项选择题，请选出其中的正确答案。\n\ndev题0\nA. 甲")
    assert text.endswith("val题0\nA. 甲\nB. 乙\nC. 丙\nD. 丁\n答案：")
    with zipfile.ZipFile(tmp_path / "ceval-exam.zip", "w") as archive:
        for path in root.rglob("*.csv"):
            archive.write(path, path.relative_to(root))
            archive.writestr(f"__MACOSX/{path.parent.name}/._{path.name}", b"\0\5\x16\7")  # as a Mac packs it
    assert prompt(load("ceval", tmp_path / "ceval-exam.zip")) == text


def test_mmlu_files_without_a_header(tmp_path: Path) -> None:
    task = load("mmlu", exam_folder(tmp_path, "test", True, ""))
    assert task.group == "english"
    assert prompt(task).startswith(
        "The following are multiple choice questions (with answers) about astronomy.\n\ndev题0\n"
    )
    assert "Answer: A\n\n" in prompt(task)
    assert len(task.items) == 2


def test_mmlu_from_a_hub(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    row = {"question": "Which?", "subject": "logic", "choices": ["a", "b", "c", "d"], "answer": 2}
    (tmp_path / "logic").mkdir()
    (tmp_path / "all").mkdir()
    for split, count in (("dev", 5), ("test", 3)):
        table = pyarrow.Table.from_pylist([row] * count)
        for folder in ("logic", "all"):
            parquet.write_table(table, tmp_path / folder / f"{split}-00000-of-00001.parquet")
    task = load("mmlu", tmp_path)
    assert (len(task.items), task.items[0].references) == (3, ["C"])


def test_exam_subjects_and_shots(tmp_path: Path) -> None:
    root = exam_folder(tmp_path, "test", False, ",Question,A,B,C,D,Answer")
    assert "dev题" not in prompt(load("cmmlu", root, shots=0))
    with pytest.raises(ConfigError, match="no subject 'alchemy'"):
        load("cmmlu", root, subjects=["alchemy"])
    with pytest.raises(DataError, match="5 examples in `dev`, 6 are needed"):
        load("cmmlu", root, shots=6)


def test_a_split_without_answers_is_refused(tmp_path: Path) -> None:
    root = exam_folder(tmp_path, "test", False, ",Question,A,B,C,D,Reply")
    with pytest.raises(DataError, match=r"astronomy\.csv, row 1: no answer"):
        load("cmmlu", root)


def test_limit_draws_the_same_sample_for_a_seed(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps({"question": f"{n}?", "answer": str(n)}) for n in range(50)), encoding="utf-8")
    config = TaskConfig(name="mine", type="qa", path=str(file), limit=10)
    drawn = [[item.id for item in load_task(config, seed)[0].items] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 10


def test_missing_things_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs a `path`"):
        load_task(TaskConfig(name="mine", type="qa"))
    with pytest.raises(ConfigError, match="no such file or folder"):
        load("qa", tmp_path / "nothing.jsonl")
    twice = TaskConfig(name="suite", type="builtin", path="qa")
    with pytest.raises(ConfigError, match="two tasks are called 'suite_qa'"):
        load_tasks([twice, twice])


@pytest.mark.parametrize("file", [blocks.FILE, own_answers.FILE])
def test_no_task_is_called_as_another_file_beside_the_answers(file: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"question": "1+1?", "answer": "2"}\n', encoding="utf-8")
    task = TaskConfig(name=file.removesuffix(".jsonl"), type="qa", path=str(tmp_path / "rows.jsonl"))
    with pytest.raises(ConfigError, match=f"a task is called '{task.name}'"):
        load_tasks([task])


@pytest.mark.parametrize(
    ("kind", "keys"), [("qa", {"shots": 5}), ("csl", {"subjects": ["law"]}), ("builtin", {"system": "S"})]
)
def test_keys_that_a_type_does_not_know_are_refused(kind: str, keys: dict[str, Any], tmp_path: Path) -> None:
    for read in (load_task, sizes):
        with pytest.raises(ConfigError, match=f"`{next(iter(keys))}` means nothing to a task of type {kind}"):
            read(TaskConfig.model_validate({"name": "t", "type": kind, **keys}))
