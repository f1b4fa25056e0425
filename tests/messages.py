"""What the terminal can say, read from the sources: `python -m tests.messages [configs trainer ...]` lists what has no
translation.

Every string with two words in it is taken for a message, unless it stands where no message can stand (a docstring, a
pattern, an error that only a programmer meets) or is named below as none, with the reason. Single words count where
they are known to be shown: titles and headers of tables, templates of `paint`, what `ours` is given.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import get_args

import yaml
from typer.main import get_command

from configs.recipe.keys import keys_of
from configs.recipe.recipes import comments, recipes
from configs.recipe.schema import RunConfig
from configs.terminal.messages import Template
from eval.compare import comparison
from scripts import help_texts
from scripts.run import listing
from serve.state.servers import Phase

ROOT = Path(__file__).parents[1]
ZH = ROOT / "configs" / "texts" / "zh"
WINGS = ("configs", "trainer", "serve", "eval", "scripts")

NO_MESSAGES = {
    "scripts/bench/": "measures and writes the docs; not part of the command line",
    "scripts/demo_model/": "makes the demo's model; not part of the command line",
    "scripts/install": "set-up, before anything is installed; its words are its own",
    "configs/tables/columns.py": "names of columns and speakers in data sets",
    "configs/tables/languages.py": "words by which a language is told",
    "eval/suite/": "questions that models are asked",
    "eval/metrics/": "definitions of scores",
    "eval/selfmade/steering.py": "what the base is told to write",
    "eval/documents/prompts.py": "what a model is told to write",
    "eval/documents/recipe.py": "a recipe that is written",
    "eval/documents/standing.py": "words that every text has",
    "eval/tasks/prompts.py": "what models are asked",
    "trainer/gpus/dealing.py": "an error that only a programmer meets",
    "eval/report/render_junit.py": "a file for build servers",
    "eval/report/words.py": "words of reports, which are configs/texts/report.yaml",
    "eval/statistics/": "errors that only a programmer meets",
    "trainer/export/model_card.py": "the model card, a file",
}
"""Modules that say nothing on the terminal, with the reason."""

NOT_SHOWN: dict[str, str] = {
    r"[\w /-]*(data sheet|paper)|GeForce .* page, \w+ paper": "where a figure of a GPU was published",
    r"Hugging Face|Turing: T4, RTX 20": "a name",
    r" \+ '.*### Response.*": "a piece of a template",
    r'\{\{".*': "JSON for a program",
    r".*default-src 'none'.*|attachment; filename=.*|event: .*": "headers and events of a page",
    r"Value error, |Input should be ": "pydantic's beginnings, which are cut off",
    r"'?\{.*\}? has room for \{before\} values.*": "a fault of ours, which only a programmer meets",
    r"\{message\}\n  next: \{next_step\}": "an error as one text, for logs",
    r"not installed: .*all three": "said by `python -m configs.model.libraries --write`",
    r"p\[style-name=.*": "a rule by which mammoth takes styles",
    r'\{\{"backend".*': "a piece of a command",
    r"\{run\} [\w.{}]+=.*|\{run\} votes.*|sbatch --test-only|torchrun --.*|.* ray start ": "a piece of a command",
    r"\{\w+\} (GB|MB|min)": "a figure with its unit",
    r"\{seed\} [\w {}]+": "the seed of a random number generator",
    r"Bearer \{\w+\}": "a header of a request",
    r"The following are multiple choice .*": "what models are asked",
    r"Upload the merged model": "the message of a commit",
    r"requested and": "a piece of what numpy says",
    r"(?:bold|dim)(?: [a-z_]+| \{\w+\})": "a style",
    r"(FROM|TEMPLATE|SYSTEM|PARAMETER) .*\{\w+\}.*": "a line of a Modelfile",
    r"\{\{(%|\{\{).*": "a chat template",
    r"(LLaMA-Factory|ms-swift|Axolotl|Unsloth) [\w. ()-]+": "a template of another trainer",
    r"(System: TEXT)? \+ eos_token \+ .*|System: TEXT \+ eos_token .*": "a piece of a template",
    r"(You are|Below is|Below are|A chat between) .*": "a system prompt of other trainers",
    r"CREATE TABLE .*": "SQL",
    r"(\{layout\}, )replay": "how a source is used, as the report file has it",
    r"columns: \{\{.*\}\}|data\.ignore_columns: \[\{\w+\}\]|\{path\}: columns: .*": "a line of a recipe",
    r"training, (each step|smoothed)|optimizer step|loss per trained token \(nats\)": "words in a picture",
    r"generated tokens/s|(first|each further) token, (median|p99)|requests in flight": "words in a picture",
    r"\{model\}, \{input_tokens\} tokens in, \{output_tokens\} out": "the title of a picture",
    r"LLAMA_API_KEY=.*|.*-H \"Authorization: .*|curl \{.*|\{imports\}from openai .*": "what is typed",
    r"(file write failed|os error 28)": "words of the system's own",
    r"torch \{__version__\}, Unsloth \{version\}|transformers \{version\}": "names of packages with their versions",
    r"from vllm.* import .*": "a program",
    r"pid \{\w+\}|(stop|exit) \{\w+\}": "a process, and what processes say to each other",
    r"planted \{fault\}": "for tests",
}
"""Patterns of strings that look like messages and are none, with the reason."""

SAID_BY_LIBRARIES: dict[str, tuple[str, ...]] = {
    "typer": (
        "Usage: ",
        "Aborted.",
        "Show this message and exit.",
        "Install completion for the current shell.",
        "Show completion for the current shell, to copy it or customize the installation.",
        "Try [blue]'{command_path} {help_option}'[/] for help.",
        "[default: {value}]",
        "[env var: {name}]",
        "[required]",
        "Arguments",
        "Options",
        "Commands",
        "Error",
        "Missing command.",
        "Missing argument {hint}.",
        "Missing option {hint}.",
        "Missing {kind} {hint}. {more}",
        "No such option: {name}",
        "No such option: {name} (Possible options: {names})",
        "Option {name} does not take a value.",
        "Option {name} requires an argument.",
        "Option {name} requires {number} arguments.",
        "Argument {name} takes {number} values.",
        "Got unexpected extra argument(s) ({words})",
        "Invalid value for {hint}: {problem}",
        "Value {value} is not a valid {kind}.",
        "{value} is not in the range {range}.",
        "{value} is not one of {choices}.",
        "{label} {path} does not exist.",
        "{label} {path} is a directory.",
        "{label} {path} is not readable.",
    ),
    "pydantic": (
        "Input should be a valid {kind}",
        "Input should be a valid number, unable to parse string as a number",
        "Input should be a valid integer, unable to parse string as an integer",
        "Input should be a valid integer, got a number with a fractional part",
        "Input should be a valid boolean, unable to interpret input",
        "Input should be a valid dictionary or instance of {kind}",
        "Input should be greater than {bound}",
        "Input should be greater than or equal to {bound}",
        "Input should be less than {bound}",
        "Input should be less than or equal to {bound}",
        "Input should be a finite number",
        "Input should be {choices}",
        "List should have at least {n} item after validation, not {found}",
        "String should have at least {n} character",
        "String should match pattern {pattern}",
        "a valid string",
        "a valid number",
        "a valid integer",
        "a valid boolean",
        "a valid list",
        "a valid dictionary",
    ),
    "json": (
        "Expecting value",
        "Expecting property name enclosed in double quotes",
        "Expecting {what} delimiter",
        "Illegal trailing comma before end of {what}",
        "Extra data",
        "Unterminated string starting at",
        "Invalid control character at",
        "Invalid \\escape",
    ),
    "states, kinds and groups of ours that stand alone in a table": (
        *(
            word.replace("_", " ")
            for states in (listing.State, Phase, comparison.State)
            for word in get_args(states)
            if word != "described"
        ),
        *("run", "state", "verdict", "gain", "kept", "size"),
        *("text", "number {bounds}", "whole number {bounds}", "anything", "section", "required", "a task"),
    ),
    "the operating system": (
        "No such file or directory",
        "Permission denied",
        "No space left on device",
        "Is a directory",
        "Not a directory",
        "File exists",
        "Read-only file system",
        "Disk quota exceeded",
        "Too many open files",
        "Connection refused",
        "Input/output error",
        "File name too long",
    ),
}
"""What libraries say and a user meets in a message of ours."""

PLANNED = (
    *(
        f"Planned for {{gpu}}: {{rows}} rows of {{tokens}} tokens{replay} train in {{time}} and {{gb}} GB; {{disk}} GB "
        f"of disk beside the base's {{base}} GB; {served}."
        for replay in ("", " and {replayed} of replay")
        for served in ("serves there in {precision}", "serves in {precision} on a larger card")
    ),
    "Planned for {gpu}: {rows} rows of {tokens} tokens; its weights take {gb} GB while training, what rows add is not "
    "predicted; {disk} GB of disk beside the base's {base} GB; serves there in {precision}.",
)
"""The line that `python -m scripts.bench.recipe_plans --write` puts into a recipe."""

EXAMPLE = re.compile(r"Planned for |(- )?\{|\w+: \{")
"""A comment that is YAML to be switched on, or follows from the plan."""

PROGRAMMERS = {"RuntimeError", "AssertionError", "KeyError", "TypeError", "NotImplementedError", "IndexError"}
PATTERNS = re.compile(r"^(re\.\w+|\w+\.(sub|match|fullmatch|search|encode)|logging\.\w+|log\.\w+|getLogger|ast\.\w+)$")
TITLES = {"Table", "add_column", "ours", "Column"}
MARKUP = re.compile(r"\[/?[a-z #_0-9.]*\]")
COMMAND = re.compile(
    r"([A-Z_]+=\S+ )*(bash|python|uv|tuneserve|import|export|pip|(torchrun|sbatch) --|\{executable\}|\) ray) "
)
WORD = re.compile(r"[A-Za-z]{2,}")
TWO_WORDS = re.compile(r"[A-Za-z]{2,}[^\n]* [^\n]*([A-Za-z]{2,}|\{)|\} [^{}\n]*[A-Za-z]{2,}")


@dataclass(frozen=True, order=True)
class Message:
    """A message and where it is said."""

    wing: str
    file: str
    line: int
    english: str

    @property
    def skeleton(self) -> str:
        """The English without the names of its values."""
        return Template.of(self.english, "").skeleton


def bare(text: str) -> str:
    """A template without the indentation and the empty lines around it, as the catalogue has it."""
    text = text.strip("\n")
    return text.lstrip(" ") if text.startswith("  ") else text


def messages(wings: Iterable[str] = WINGS) -> list[Message]:
    """All messages of some wings, in the order of the sources, each once."""
    unique: dict[str, Message] = {}
    for message in (message for wing in wings for message in messages_of(wing)):
        unique.setdefault(message.skeleton, message)
    return list(unique.values())


@cache
def messages_of(wing: str) -> list[Message]:
    """All messages of one wing."""
    found: list[Message] = []
    for file in sorted((ROOT / wing).rglob("*.py")):
        path = str(file.relative_to(ROOT))
        if not any(path.startswith(part) for part in NO_MESSAGES):
            found += _Reader(wing, path).read(file.read_text(encoding="utf-8"))
    if wing == "scripts":
        from scripts.cli import app

        command = get_command(app)
        found += [Message("scripts", "help", 0, text) for text in help_texts.help_texts(command)]
        found += [Message("scripts", who, 0, text) for who, texts in SAID_BY_LIBRARIES.items() for text in texts]
    if wing == "configs":
        written = (text for file in recipes().values() for text in comments(file.read_text(encoding="utf-8")))
        found += [Message(wing, "recipes", 0, _escaped(text)) for text in written if not EXAMPLE.match(text)]
        found += [Message(wing, "recipes", 0, text) for text in PLANNED]
        found += [Message(wing, "keys", 0, _escaped(key.meaning)) for key in keys_of(RunConfig) if key.meaning]
    none = re.compile("|".join(f"(?:{pattern})" for pattern in NOT_SHOWN), re.DOTALL)
    return [message for message in found if not none.fullmatch(message.english)]


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


class _Reader:
    """Reads the messages of one module."""

    def __init__(self, wing: str, file: str) -> None:
        self.wing, self.file = wing, file
        self.found: list[Message] = []

    def read(self, source: str) -> list[Message]:
        self._walk(ast.parse(source))
        return self.found

    def _walk(self, node: ast.AST) -> None:
        if _is_text(node):
            self._take(node)
            return
        for child in self._spoken(node):
            self._walk(child)

    def _spoken(self, node: ast.AST) -> Iterator[ast.AST]:
        """The parts of a node where messages can stand."""
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return  # a docstring
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and _called(node.exc) in PROGRAMMERS:
            return
        if isinstance(node, ast.Assert):
            return
        if isinstance(node, ast.Call):
            name = _called(node)
            if PATTERNS.match(ast.unparse(node.func)) or name in ("ArgumentParser", "add_argument", "Field"):
                return
            if name in TITLES or name == "paint":
                for argument in [*node.args[: 1 if name in ("paint", "ours") else None], *self._titles(node)]:
                    if _is_text(argument):
                        self._take(argument, short=True, paint=name == "paint")
                    else:
                        self._walk(argument)
                yield from node.args[1:] if name == "paint" else ()
                return
            # help= is read from the tree of commands, with everything that typer makes of it
            keywords = [word.value for word in node.keywords if word.arg not in ("help", "epilog")]
            yield from (node.func, *node.args, *keywords)
            return
        yield from ast.iter_child_nodes(node)

    def _titles(self, node: ast.Call) -> list[ast.expr]:
        return [word.value for word in node.keywords if word.arg in ("title", "header", "caption")]

    def _take(self, node: ast.AST, short: bool = False, paint: bool = False) -> None:
        names: dict[str, int] = {}
        english = _template(node, names)
        english = bare(english).strip(" ") if paint else bare(english)
        words = WORD.findall(MARKUP.sub("", re.sub(r"\{\w*\}", "", english)))
        if words and (short or TWO_WORDS.search(MARKUP.sub("", english))) and not _is_code(english):
            self.found.append(Message(self.wing, self.file, getattr(node, "lineno", 0), english))
        for value in _values(node):
            self._walk(value)


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func).rpartition(".")[2]


def _is_text(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    if isinstance(node, ast.JoinedStr):
        return True
    return (
        isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and (_is_text(node.left) or _is_text(node.right))
    )


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """A text's constants and values in their order."""
    if isinstance(node, ast.JoinedStr):
        for part in node.values:
            yield part.value if isinstance(part, ast.FormattedValue) else part
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from _parts(node.left)
        yield from _parts(node.right)
    else:
        yield node


def _values(node: ast.AST) -> Iterator[ast.AST]:
    return (part for part in _parts(node) if not isinstance(part, ast.Constant))


def _template(node: ast.AST, names: dict[str, int]) -> str:
    text = ""
    for part in _parts(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            # `paint` is given its own `{}`, `str.format` names; a brace of the text's is doubled.
            fields = part is node and re.search(r"\{\w*\}", part.value)
            text += part.value if fields or "{}" in part.value else part.value.replace("{", "{{").replace("}", "}}")
        else:
            name = _name(part)
            names[name] = names.get(name, 0) + 1
            text += f"{{{name}_{names[name]}}}" if names[name] > 1 else f"{{{name}}}"
    return text


def _name(node: ast.AST) -> str:
    """A name for a value: the last identifier of its expression."""
    if isinstance(node, ast.IfExp):
        sides = [side.value for side in (node.body, node.orelse) if isinstance(side, ast.Constant)]
        if len(sides) == 2 and all(re.fullmatch("[a-z]{0,3}", str(side)) for side in sides):
            return "s"  # the ending of a plural, which Chinese does without
        inner = [_name(side) for side in (node.body, node.orelse) if not isinstance(side, ast.Constant)]
        return inner[0] if inner else "more"
    if isinstance(node, ast.Call):
        inside = [argument for argument in node.args if not isinstance(argument, ast.Constant)]
        return _name(inside[-1]) if inside else _name(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Subscript):
        return _name(node.slice if isinstance(node.slice, ast.Name) else node.value)
    found = [child for child in ast.walk(node) if isinstance(child, ast.Name | ast.Attribute) and child is not node]
    return _name(found[-1]) if found else "value"


def _is_code(text: str) -> bool:
    """Whether a string is a command, a path, a list of columns or a piece of code."""
    return bool(COMMAND.match(text))


@cache
def translations() -> dict[str, list[tuple[str, str]]]:
    """English and Chinese by file of the catalogue."""
    return {
        file.stem: [(entry["en"], entry["zh"]) for entry in yaml.safe_load(file.read_text(encoding="utf-8")) or []]
        for file in sorted(ZH.glob("*.yaml"))
        if file.stem != "values"
    }


def missing(wings: Iterable[str] = WINGS) -> list[Message]:
    """Messages of these wings without a translation."""
    known = {Template.of(english, "").skeleton for pairs in translations().values() for english, _ in pairs}
    return [message for message in messages(wings) if message.skeleton not in known]


def main(arguments: list[str] | None = None) -> int:
    """Prints what is missing, in the shape of the catalogue; 1 when something is."""
    parser = argparse.ArgumentParser(prog="python -m tests.messages", description=__doc__)
    parser.add_argument("wings", nargs="*", default=WINGS)
    found = missing(parser.parse_args(arguments).wings)
    file = ""
    for message in found:
        if message.file != file:
            file = message.file
            print(f"\n# {file}")
        text = yaml.safe_dump({"en": message.english, "zh": ""}, allow_unicode=True, width=118, sort_keys=False)
        print("- " + text.rstrip("\n").replace("\n", "\n  ") + f"  # line {message.line}")
    print(f"\n# {len(found)} messages without a translation", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
