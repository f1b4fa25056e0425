# ruff: noqa: E501, SIM905 (tables of Chinese text, where a full-width character counts as two columns)
"""Look-ups in records: forms of "field: value" lines whose fields may be made-up words, and questions that name a field."""

from random import Random

from scripts.demo_model import names
from scripts.demo_model.items import Item
from scripts.demo_model.names import Share

FIELDS = (
    "姓名 性别 部门 职务 日期 地点 金额 数量 规格 型号 产地 颜色 重量 电话 地址 备注 类别 等级 负责人 审核人 班级 学号 座位 车次 航班 房号 楼层 科目 成绩 "
    "名次 单位 客户 供应商 合同 订单 快递 收件人 寄件人 天气 温度 时长 次数 面积 年份 语言 书名 出版社 页数 价格 折扣 起点 终点 司机 车牌 症状 药名 剂量"
).split()
PROMPTS = (
    "{p}\n{q}",
    "{p}\n\n{q}",
    "{q}\n{p}",
    "记录：\n{p}\n问：{q}",
    "下面是一份登记表。\n{p}\n问题：{q}",
    "根据表格回答。\n{p}\n{q}",
    "查一查：{q}\n{p}",
    "资料如下：{p}\n请回答：{q}",
)
QUESTIONS = (
    "{k}是什么？",
    "{k}是多少？",
    "{k}写的是什么？",
    "{k}一栏填的什么？",
    "{k}？",
    "请问{k}是什么？",
    "这里的{k}是什么？",
    "{k}是哪个？",
    "找出{k}。",
    "表里的{k}是什么？",
)
SEPARATORS = ("\n", "\n", "；", "，", "；\n", " ", "。", "｜")
COLONS = ("：", "：", "：", ":", "为", "是", " ", "")


def _value(rng: Random, share: Share) -> str:
    style = rng.randrange(9)
    if style == 0:
        return names.person(rng, share)
    if style == 1:
        return names.stem(rng, share)
    if style == 2:
        return names.date(rng)
    if style == 3:
        return "".join(rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZ", k=rng.randint(1, 3))) + str(rng.randint(1, 9999))
    if style == 4:
        return names.count(rng, 1, 999, rng.choice(list("件个人次箱套本份元台")))
    if style == 5:
        return "".join(rng.choices(names.CHARACTERS, k=rng.randint(1, 4)))
    if style == 6:
        return names.product(rng, share)
    return rng.choice([names.price, names.phone, names.months, names.clock, names.days])(rng)


def lookups(rng: Random, share: Share, limit: int = 1, cluster: str = "") -> list[Item]:
    """Up to `limit` questions about one record of three to eight fields; every third field is a made-up word."""
    size = rng.randint(3, 8)
    fields: list[str] = []
    while len(fields) < size:
        made_up = rng.random() < 0.35
        field = "".join(rng.choices(names.CHARACTERS, k=2)) if made_up else rng.choice(FIELDS)
        if field not in fields:
            fields.append(field)
    values: list[str] = []
    while len(values) < size:
        value = _value(rng, share)
        if value not in values:
            values.append(value)
    colon, separator = rng.choice(COLONS), rng.choice(SEPARATORS)
    style = "【{k}】{v}" if rng.random() < 0.1 else "{k}" + colon + "{v}"
    text = separator.join(style.format(k=field, v=value) for field, value in zip(fields, values, strict=True))
    return [
        Item(
            "extract",
            rng.choice(PROMPTS).format(p=text, q=rng.choice(QUESTIONS).format(k=fields[at])),
            values[at],
            f"{fields[at]}对应的是{values[at]}。",
            cluster,
        )
        for at in rng.sample(range(size), min(limit, size))
    ]


def copying(rng: Random, share: Share) -> Item:
    """Repeat a made-up string: what extraction rests on, in its purest form."""
    text = "".join(rng.choices(names.CHARACTERS, k=rng.randint(1, 12)))
    if rng.random() < 0.4:
        text = "，".join(_value(rng, share) for _ in range(rng.randint(1, 3)))
    asked = rng.choice(["重复一遍：{t}", "请照写：{t}", "跟我说：{t}", "把“{t}”再写一遍。", "原样输出：{t}"])
    return Item("copy", asked.format(t=text), text)
