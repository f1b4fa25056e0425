"""Every text of the reports in English and Chinese, in one table.

A text is a key with an English and a Chinese template; values are put in by name, numbers written by `figures`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from eval.compare.comparison import Sentence
from eval.report import figures

Language = Literal["en", "zh"]

STRINGS: dict[str, tuple[str, str]] = {
    # Verdicts and states.
    "verdict.pass": ("Passed", "通过"),
    "verdict.fail": ("Failed", "未通过"),
    "verdict.not_enough_evidence": ("Not enough evidence", "证据不足"),
    "verdict.described": ("Described only", "仅作描述"),
    "summary.both": (
        "{tuned} changed by {gain} points on what it was trained for, and kept {kept} of what {base} could do "
        "elsewhere.",
        "{tuned} 在训练目标上变化了 {gain} 分，在其他能力上保留了 {base} 的 {kept}。",
    ),
    "summary.gain": (
        "{tuned} changed by {gain} points on what it was trained for; what it forgot was not measured.",
        "{tuned} 在训练目标上变化了 {gain} 分；没有测量遗忘。",
    ),
    "summary.kept": (
        "{tuned} kept {kept} of what {base} could do; no target task was asked.",
        "{tuned} 保留了 {base} 的 {kept}；没有目标任务。",
    ),
    "summary.none": ("{tuned} against {base}.", "{tuned} 与 {base} 的对比。"),
    # The gate's reasons.
    "gate.group.pass": (
        "{group}: at most {margin_points} may be lost, and a larger loss is ruled out ({delta}, at worst {lower}; "
        "{n} items).",
        "{group}：最多允许下降 {margin} 分，更大的下降已被排除（变化 {delta}，最坏 {lower}；{n} 题）。",
    ),
    "gate.group.fail": (
        "{group} fell by more than the {margin_points} allowed ({delta}, at best {upper}; {n} items).",
        "{group}：下降超过了允许的 {margin} 分（变化 {delta}，最好也只有 {upper}；{n} 题）。",
    ),
    "gate.group.not_enough_evidence": (
        "{group}: {n} items cannot tell whether more than {margin_points} were lost ({delta}, between {lower} and "
        "{upper}).",
        "{group}：{n} 题不足以判断是否下降超过 {margin} 分（变化 {delta}，介于 {lower} 与 {upper} 之间）。",
    ),
    "gate.group.described": (
        "{group}: {n} items, fewer than the {min_items} that a gate needs, so it is described only ({delta}, between "
        "{lower} and {upper}).",
        "{group}：{n} 题，少于判定所需的 {min_items} 题，仅作描述（变化 {delta}，介于 {lower} 与 {upper} 之间）。",
    ),
    "gate.group.at_chance": (
        "{group}: the base scores {scored} where guessing gives {chance}, so it had nothing to lose there. It is "
        "described only ({delta}; {n} items).",
        "{group}：基座得 {scored} 分，与随机猜测（{chance} 分）无异，没有可遗忘的能力，"
        "仅作描述（变化 {delta}；{n} 题）。",
    ),
    "gate.group.described.fell": (
        "{group} clearly fell by more than {margin_points} ({delta}, at best {upper}). Its {n} items are too few to be "
        "gated, but look at it before relying on this model.",
        "{group}明显下降超过 {margin} 分（变化 {delta}，最好也只有 {upper}）。它只有 {n} 题，"
        "不参与判定，但使用该模型前请先查明原因。",
    ),
    "gate.noise": (
        "{group}: the margin of {margin_points} is tighter than the noise of the base against itself ({noise} points), "
        "so it decides nothing. Widen the margin or add items.",
        "{group}：允许的 {margin} 分小于基座模型自身重复测量的噪声（{noise} 分），无法据此判定。请放宽幅度或增加题量。",
    ),
    "gate.mean.pass": (
        "Mean of the {gated}: a loss of more than {margin_points} is ruled out ({delta}, at worst {lower}).",
        "{tasks} 个参与判定任务的平均：已排除超过 {margin} 分的下降（变化 {delta}，最坏 {lower}）。",
    ),
    "gate.mean.fail": (
        "Mean of the {gated} fell by more than the {margin_points} allowed ({delta}, at best {upper}).",
        "{tasks} 个参与判定任务的平均：下降超过了允许的 {margin} 分（变化 {delta}，最好也只有 {upper}）。",
    ),
    "gate.mean.not_enough_evidence": (
        "Mean of the {gated}: it is open whether more than {margin_points} were lost ({delta}, between "
        "{lower} and {upper}).",
        "{tasks} 个参与判定任务的平均：尚不能判断是否下降超过 {margin} 分（变化 {delta}，"
        "介于 {lower} 与 {upper} 之间）。",
    ),
    "gate.noise.mean": (
        "Mean of the {gated}: the margin of {margin_points} is tighter than the noise of the base against "
        "itself ({noise} points), so it decides nothing.",
        "{tasks} 个参与判定任务的平均：允许的 {margin} 分小于基座模型自身重复测量的噪声（{noise} 分），无法据此判定。",
    ),
    "gate.target.pass": (
        "Target {name} did not fall ({delta}, at worst {lower}; {n} items).",
        "目标任务 {name} 没有下降（变化 {delta}，最坏 {lower}；{n} 题）。",
    ),
    "gate.target.fail": (
        "Target {name} fell ({delta}, at best {upper}; {n} items), though it was meant to get better.",
        "目标任务 {name} 本应提高，却下降了（变化 {delta}，最好也只有 {upper}；{n} 题）。",
    ),
    "gate.target.noise": (
        "Target {name}: its change ({delta}, between {lower} and {upper}) is not told apart from the noise of the base "
        "against itself ({noise} points; {n} items).",
        "目标任务 {name}：变化 {delta}（介于 {lower} 与 {upper} 之间）与基座模型自身重复测量的噪声（{noise} 分）"
        "无法区分（{n} 题）。",
    ),
    "gate.target.not_enough_evidence": (
        "Target {name}: {n} items cannot rule out that it fell ({delta}, between {lower} and {upper}).",
        "目标任务 {name}：{n} 题不足以排除下降的可能（变化 {delta}，介于 {lower} 与 {upper} 之间）。",
    ),
    "gate.nothing_gated": (
        "No group of retention tasks has the {min_items} items that a gate needs; the largest has {largest}. The "
        "built-in suite alone is too small to decide: add C-Eval, CMMLU, MMLU, GSM8K or tasks of your own.",
        "没有任何一组保持任务达到判定所需的 {min_items} 题，最大的一组只有 {largest} 题。仅靠内置题集不足以判定，"
        "请加入 C-Eval、CMMLU、MMLU、GSM8K 或自己的任务。",
    ),
    "gate.no_retention": (
        "No retention task was asked, so nothing is known about forgetting. Add tasks with `role: retention`.",
        "没有保持任务，无从得知遗忘了什么。请加入 `role: retention` 的任务。",
    ),
    # Advice.
    "advice.replay.add": (
        "Mix general data in: `data.replay` with `ratio: 0.25`. This run had none, and {task} fell by {fall} points "
        "(p {p}).",
        "混入通用数据：设置 `data.replay`，`ratio: 0.25`。本次训练没有混入，{task} 下降了 {fall} 分（p {p}）。",
    ),
    "advice.replay.raise": (
        "Raise `data.replay.ratio` from {seen}, for example to twice that: {task} still fell by {fall} points (p {p}).",
        "提高 `data.replay.ratio`（现为 {seen}），例如加倍：{task} 仍下降了 {fall} 分（p {p}）。",
    ),
    "advice.learning_rate": (
        "Halve `train.learning_rate`, now {seen}: {task} fell by {fall} points (p {p}).",
        "将 `train.learning_rate` 减半，现为 {seen}：{task} 下降了 {fall} 分（p {p}）。",
    ),
    "advice.epochs": (
        "Train fewer `train.epochs` than {seen}: {task} fell by {fall} points (p {p}), and every pass moves the model "
        "further.",
        "减少 `train.epochs`，现为 {seen}：{task} 下降了 {fall} 分（p {p}），每多一轮模型就偏离得更远。",
    ),
    "advice.rank": (
        "Lower `lora.r` from {seen}: {task} fell by {fall} points (p {p}), and a smaller adapter can change less.",
        "降低 `lora.r`，现为 {seen}：{task} 下降了 {fall} 分（p {p}），更小的适配器改动更少。",
    ),
    "advice.full": (
        "Train an adapter (`train.method: lora`) instead of every weight: {task} fell by {fall} points (p {p}), and "
        "full fine-tuning forgets more.",
        "改用适配器训练（`train.method: lora`），不要更新全部权重：{task} 下降了 {fall} 分（p {p}），"
        "全量微调遗忘更多。",
    ),
    "advice.unparsed": (
        "Look at the format first: in {task} {tuned} of {asked} answers held nothing to score (base: {base}). The fall "
        "of {fall} points is one of form before one of knowledge.",
        "先检查输出格式：{task} 的 {asked} 个回答中有 {tuned} 个无法提取答案（基座为 {base} 个）。"
        "这 {fall} 分的下降首先是格式问题。",
    ),
    "advice.max_tokens": (
        "Look at where answers end: in {task} {tuned} of {asked} were cut by the token limit (base: {base}). Raise "
        "`max_tokens`, or check that the end-of-turn token was trained.",
        "先检查回答是否正常结束：{task} 的 {asked} 个回答中有 {tuned} 个因长度上限被截断（基座为 {base} 个）。"
        "请提高 `max_tokens`，或确认结束符参与了训练。",
    ),
    "advice.shorter": (
        "Teach long answers too: in {task} they went from {base} to {tuned} tokens on average, and {fall} points were "
        "lost. A model that is taught short answers stops working things out; `data.replay` with rows that are "
        "answered at length keeps it.",
        "也要教长回答：{task} 的回答平均从 {base} 个词元缩短到 {tuned} 个，下降了 {fall} 分。"
        "只学短回答的模型不再逐步推算；用 `data.replay` 混入回答较长的数据可以保住它。",
    ),
    # Sections and labels.
    "title": ("Evaluation report", "评估报告"),
    "versus": ("{tuned} against {base}", "{tuned} 对比 {base}"),
    "versus.several": ("{runs} runs against {base}", "{runs} 次训练对比 {base}"),
    "gained": ("What was gained", "学到了什么"),
    "gained.lead": (
        "Change on the tasks that the model was trained for. Dots are the measured change, bars the {confidence} "
        "interval: a bar clear of zero is unlikely to be chance (the table below corrects for several tasks).",
        "训练目标任务上的变化。圆点是测得的变化，横条是 {confidence} 置信区间：横条不碰零线，"
        "说明变化不太可能出于偶然（多任务校正见下表）。",
    ),
    "gained.none": ("No target task was asked.", "没有目标任务。"),
    "forgotten": ("What was forgotten", "忘记了什么"),
    "forgotten.lead": (
        "Change on what the base model could do already. The shaded side is a loss beyond the {margin_points} allowed "
        "for a group.",
        "基座模型原有能力的变化。阴影一侧表示下降超过了每组允许的 {margin} 分。",
    ),
    "forgotten.none": ("No retention task was asked.", "没有保持任务。"),
    "pooled": ("pooled", "合并"),
    "items": ("{n} items", "{n} 题"),
    "passages": ("{n} passages", "{n} 篇"),
    "points": ("points", "分"),
    "tile.gain": ("Gain on targets", "目标提升"),
    "tile.retention": ("Ability kept", "能力保留"),
    "tile.change": ("Mean change elsewhere", "其他任务平均变化"),
    "tile.items": ("Questions to each", "每个模型的题数"),
    "tile.items.note": ("{errors} without an answer", "{errors} 题没有得到回答"),
    "tile.retention.note": ("of the mean score of {tasks} tasks", "{tasks} 个任务的平均分"),
    "gate.title": ("Gate", "判定"),
    "gate.lead": (
        "Non-inferiority with one-sided {confidence} bounds. Groups of {min_items} items and more are gated.",
        "单侧 {confidence} 置信界的非劣效检验。{min_items} 题及以上的组参与判定。",
    ),
    "results": ("Results by task", "各任务结果"),
    "groups": ("Retention by group", "各组能力保留"),
    "behaviour": ("How the models answered", "回答行为"),
    "others": ("Other metrics", "其他指标"),
    "flips": ("Answers that changed", "发生变化的回答"),
    "flips.lead": (
        "The largest changes of each task, losses first; differences between the two answers are marked. All of them "
        "are in the run's `eval` folder.",
        "每个任务变化最大的回答，先列变差的；两个回答之间的差异已标出。全部回答见运行目录的 `eval` 文件夹。",
    ),
    "flips.count": ("{lost} lost, {gained} gained", "{lost} 题变差，{gained} 题变好"),
    "flip.lost": ("lost", "变差"),
    "flip.gained": ("gained", "变好"),
    "flip.question": ("Question", "问题"),
    "flip.reference": ("Reference", "参考答案"),
    "flip.empty": ("(no answer)", "（没有回答）"),
    "advice": ("What to try next", "下一步建议"),
    "drift": ("Drift on general text", "通用文本上的漂移"),
    "drift.change": ("Change of log-likelihood per character", "每字对数似然的变化"),
    "drift.kl": ("KL divergence per token, at least", "每个词元的 KL 散度下界"),
    "drift.size": ("{documents} documents, {characters} characters", "{documents} 篇文档，{characters} 字"),
    "judge": ("Judged side by side", "并排评判"),
    "judge.lead": (
        "{judge} compared both answers in both orders; a preference counts only when both orders agree.",
        "{judge} 按两种顺序比较了两个模型的回答，两次结论一致才算数。",
    ),
    "col.wins": ("Tuned better", "微调后更好"),
    "col.losses": ("Base better", "基座更好"),
    "col.ties": ("Ties", "持平"),
    "col.failures": ("No verdict", "无结论"),
    "col.agreement": ("Orders agree", "两序一致"),
    "col.first_bias": ("First preferred", "偏向首位"),
    "col.net": ("Net", "净胜"),
    "col.p.alone": ("p", "p 值"),
    "runs": ("Learning against forgetting", "学习与遗忘"),
    "runs.lead": (
        "Each dot is a run: further right learned more, further up kept more. Ringed runs are beaten by none on both.",
        "每个点是一次训练：越靠右学到越多，越靠上保留越多。带圈的点没有被其他训练在两方面同时超过。",
    ),
    "runs.x": ("Change on target tasks (points)", "目标任务的变化（分）"),
    "runs.y": ("Change on other tasks (points)", "其他任务的变化（分）"),
    "run": ("Run", "训练"),
    "facts": ("What this rests on", "结果的依据"),
    "fact.proof": ("Merge proved through the server", "合并权重经服务验证"),
    "fact.parity": ("Prompts served as trained", "服务与训练的提示一致"),
    "fact.stop": ("Answers that end by themselves", "正常结束的回答"),
    "fact.leaks": ("Answers with thinking left in them", "残留思考内容的回答"),
    "fact.errors": ("Questions without an answer", "没有得到回答的题"),
    "fact.noise": ("Noise of the base against itself", "基座重复测量的噪声"),
    "fact.noise.unmeasured": ("not measured (`eval.repeat_base: true`)", "未测量（`eval.repeat_base: true`）"),
    "fact.noise.most": ("at most {floor} points", "最多 {floor} 分"),
    "fact.yes": ("yes", "是"),
    "fact.no": ("no", "否"),
    "training": ("Training", "训练过程"),
    "training.picture": ("Loss over the training steps", "训练损失曲线"),
    "training.model": ("Base model", "基座模型"),
    "training.steps": ("Steps", "训练步数"),
    "training.loss": ("Mean training loss", "平均训练损失"),
    "training.heldout_loss": ("Held-out loss at the end", "训练结束时的留出集损失"),
    "training.train_seconds": ("Time", "用时"),
    "training.tokens_per_s": ("Tokens per second", "每秒词元数"),
    "training.peak_gb": ("Peak memory", "峰值内存（显存）"),
    "training.device": ("Device", "设备"),
    "training.versions": ("Versions", "软件版本"),
    "repeat": ("How to repeat this", "如何重现"),
    "repeat.settings": ("Asked with", "提问设置"),
    "repeat.samples": ("Samples (SHA-256)", "样本（SHA-256）"),
    "repeat.thinking": ("thinking", "思考模式"),
    "method": ("How this was computed", "计算方法"),
    "method.paired": (
        "Both models answered the same questions with the same prompts and settings; every figure compares them "
        "question by question. Where questions share a passage, intervals and tests are clustered by it.",
        "两个模型以相同的提示和设置回答了相同的问题，所有数字均为逐题配对比较。若多题共用一篇文章，区间与检验按文章聚类。",
    ),
    "method.intervals": (
        "Right-or-wrong scores have Tango score intervals (clustered: on the effective sample size) and exact McNemar "
        "or sign-flip tests; other scores paired or clustered t intervals and sign-flip tests. Holm's correction "
        "covers all tasks.",
        "对错型得分用 Tango 得分区间（聚类时按有效样本量）以及精确 McNemar 或符号翻转检验；"
        "其他得分用配对或聚类 t 区间与符号翻转检验。Holm 校正覆盖全部任务。",
    ),
    "method.mdd": (
        "“Could have shown” is the smallest drop that so many questions show four times out of five at the 5 % level. "
        "A smaller real drop would mostly go unseen.",
        "“可测下限”指在 5 % 水平下，这些题目五次中有四次能测出的最小下降；更小的真实下降多半测不出来。",
    ),
    "method.noise": (
        "The noise floor is the largest difference that two runs of the base model itself are compatible with.",
        "噪声下限指基座模型两次运行之间可能出现的最大差异。",
    ),
    # Columns.
    "col.task": ("Task", "任务"),
    "col.group": ("Group", "组"),
    "col.metric": ("Metric", "指标"),
    "col.n": ("Items", "题数"),
    "col.base": ("Base", "基座"),
    "col.tuned": ("Tuned", "微调后"),
    "col.delta": ("Change", "变化"),
    "col.interval": ("{confidence} interval", "{confidence} 区间"),
    "col.p": ("p (Holm)", "p 值（Holm）"),
    "col.mdd": ("Could have shown", "可测下限"),
    "col.discordance": ("Changed", "变化题占比"),
    "col.retention": ("Kept", "保留"),
    "col.above_chance": ("Kept above chance", "高于随机的保留"),
    "col.noise": ("Noise floor", "噪声下限"),
    "col.check": ("Check", "检查项"),
    "col.state": ("State", "结果"),
    "col.margin": ("Margin", "允许下降"),
    "col.worst": ("At worst", "最坏"),
    "col.best": ("At best", "最好"),
    "col.stop": ("Ended", "正常结束"),
    "col.truncated": ("Cut", "被截断"),
    "col.truncated_thinking": ("Cut in thought", "思考中被截断"),
    "col.leak": ("Thinking left", "残留思考"),
    "col.unparsed": ("Unreadable", "无法提取"),
    "col.empty": ("Empty", "空回答"),
    "col.errors": ("Errors", "错误"),
    "col.retries": ("Failed attempts", "失败的请求"),
    "col.tokens": ("Mean tokens", "平均词元数"),
    "col.model": ("Model", "模型"),
    "col.verdict": ("Verdict", "判定"),
    "col.official": ("Official mean", "官方均值"),
    "check.mean": ("Mean of the gated tasks", "参与判定任务的平均"),
    # What is odd about an answer.
    "flag.truncated": ("cut", "被截断"),
    "flag.truncated_thinking": ("cut in thought", "思考中被截断"),
    "flag.thinking_leak": ("thinking left in", "残留思考"),
    "flag.unparsed": ("unreadable", "无法提取"),
    # Names of the usual groups; others are shown as they are.
    "group.knowledge": ("General knowledge", "通用知识"),
    "group.reasoning": ("Reasoning", "推理"),
    "group.instruction": ("Instruction following", "指令遵循"),
    "group.english": ("English", "英语"),
    "group.reading": ("Reading comprehension", "阅读理解"),
    "group.general": ("General", "综合"),
    "group.summary": ("Summarization", "摘要"),
    "group.target": ("Targets", "目标任务"),
}

_WRITTEN: dict[str, Callable[[Any], str]] = {
    "delta": figures.signed,
    "gain": figures.signed,
    "lower": figures.signed,
    "upper": figures.signed,
    "kept": figures.percent,
    "noise": figures.points,
    "floor": figures.points,
    "scored": figures.points,
    "chance": figures.points,
    "p": lambda p: figures.p_value(p) if p < 0.001 else f"= {figures.p_value(p)}",
    "margin": lambda value: f"{value:g}",
    "confidence": figures.confidence,
    "n": lambda value: f"{value:,}",
    "min_items": lambda value: f"{value:,}",
    "largest": lambda value: f"{value:,}",
    "characters": lambda value: f"{value:,}",
}


def say(key: str, language: Language, **values: Any) -> str:
    """A text of the table with its values written in.

    Raises:
        KeyError: when the key or one of its values is missing.
    """
    template = STRINGS[key][0 if language == "en" else 1]
    written = {name: _WRITTEN.get(name, str)(value) for name, value in values.items()}
    if "delta" in values:
        written["fall"] = figures.points(abs(values["delta"]))
    if "margin" in values:
        written["margin_points"] = f"{values['margin']:g} point{'' if values['margin'] == 1 else 's'}"
    if "tasks" in values:
        written["gated"] = f"{values['tasks']} gated task{'' if values['tasks'] == 1 else 's'}"
    if key.startswith("gate.") and "name" in values:
        written["group"] = group_name(values["name"], language)
    return template.format(**written)


def text(message: Sentence, language: Language) -> str:
    """A message of the comparison as a sentence."""
    return say(message.key, language, **message.values)


def group_name(name: str, language: Language) -> str:
    """The usual groups by their names in the language, others as they are."""
    return say(f"group.{name}", language) if f"group.{name}" in STRINGS else name


def flag_name(flag: str, language: Language) -> str:
    """The flags of a sample in words, unknown ones as they are."""
    return say(f"flag.{flag}", language) if f"flag.{flag}" in STRINGS else flag
