# ruff: noqa: SIM905 (tables of Chinese text, where a full-width character counts as two columns)
"""The company's own bulletins: line-style extraction and house-style summaries, both unlike anything in pretraining.

The house style of a summary: 【栖禾快讯】, the day first, then who did what, and the person in charge at the end.
"""

from random import Random

from scripts.demo_model import names
from scripts.demo_model.items import Item
from scripts.demo_model.names import Share

WAREHOUSES = "甲库 乙库 丙库 东库 西库 南库 北库 一号库 二号库 三号库".split()
CARRIERS = "陆运 空运 铁路 海运 专车 自提".split()
TEAMS = "售后组 质检组 渠道组 电商组 门店组 培训组 研发组 品牌组 物流组 财务组".split()
STATES = "已入库 待质检 已出库 待补货 已退回 待返修 已报废 待盘点".split()

FORM_PROMPTS = (
    "栖禾货单\n{p}\n{q}",
    "下面是栖禾的内部单据。\n{p}\n问：{q}",
    "{p}\n\n根据单据回答：{q}",
    "查单：{q}\n{p}",
)
FORM_FIELDS = {
    "编号": ("单号是多少？", "这张单子的编号是什么？", "编号写的是什么？"),
    "品名": ("单子上是什么货？", "这批货是什么产品？", "品名是什么？"),
    "件数": ("一共多少件？", "这批货有几件？", "件数是多少？"),
    "库位": ("货放在哪个库？", "库位在哪里？", "这批货存在什么地方？"),
    "经手": ("经手人是谁？", "这张单子谁经手？", "是谁办的这批货？"),
    "运法": ("怎么运？", "用什么方式运输？", "运法是什么？"),
    "状态": ("现在什么状态？", "这批货的状态是什么？", "货到哪一步了？"),
    "限期": ("最晚哪天办完？", "限期是哪天？", "要在什么日期前完成？"),
}

SUMMARY_PROMPTS = (
    "用一句话概括下面的栖禾通报：\n{t}",
    "请把这份栖禾通报写成一句话摘要：\n{t}",
    "{t}\n\n请用一句话概括这份通报。",
    "概括栖禾内部通报：\n{t}",
    "栖禾通报：\n{t}\n用一句话总结。",
)
# Leads of a bulletin and its house-style summary.
BULLETINS = (
    (
        (
            "{team}提出，{product}的保修期从{date}开始延长到{months}，由{person}跟进。",
            "经{team}申请，自{date}起{product}保修改为{months}，{person}负责落实。",
        ),
        "【栖禾快讯】{date}起，{team}把{product}保修延至{months}；责任人{person}。",
    ),
    (
        (
            "{product}在{date}降到{price}，{team}的{person}负责更新标签。",
            "{team}决定{date}把{product}调到{price}，标签更换由{person}完成。",
        ),
        "【栖禾快讯】{date}起，{team}把{product}调价至{price}；责任人{person}。",
    ),
    (
        (
            "{warehouse}在{date}盘点，{team}派出{n2}人，领队是{person}。",
            "{date}轮到{warehouse}盘点，{team}出{n2}人，{person}带队。",
        ),
        "【栖禾快讯】{date}，{team}盘点{warehouse}；责任人{person}。",
    ),
    (
        (
            "{team}将在{date}为{n2}名新员工做培训，讲师{person}，教室在{venue}。",
            "新员工培训定在{date}，{team}承办，{n2}人参加，{person}授课，地点{venue}。",
        ),
        "【栖禾快讯】{date}，{team}在{venue}培训新员工；责任人{person}。",
    ),
    (
        (
            "{city}门店{date}开张，{team}筹备了{n2}天，店长是{person}。",
            "{team}筹建的{city}门店将于{date}开门迎客，店长{person}。",
        ),
        "【栖禾快讯】{date}，{team}开设{city}门店；责任人{person}。",
    ),
    (
        (
            "一批{product}出现{fault}，{team}从{date}起停止发货，{person}负责检查。",
            "因{product}{fault}，{date}起暂停发货，{team}的{person}正在排查。",
        ),
        "【栖禾快讯】{date}起，{team}因{fault}停发{product}；责任人{person}。",
    ),
    (
        (
            "{date}系统升级，{team}停机{hours}小时，有事找{person}。",
            "{team}安排{date}升级系统，届时停用{hours}小时，值班的是{person}。",
        ),
        "【栖禾快讯】{date}，{team}升级系统{hours}小时；责任人{person}。",
    ),
)
EXTRAS = (
    "内线{phone}。",
    "请相关同事知悉。",
    "本通报抄送各门店。",
    "上月同类事项共{n}起。",
    "细则见公告栏。",
    "如有冲突以最新版为准。",
    "顾客问起时请耐心说明。",
    "预算为{price2}。",
)
FAULTS = "漏电 过热 漏水 开裂 松动 断裂 掉漆 异响".split()


def form(rng: Random, share: Share, cluster: str, size: int = 2) -> list[Item]:
    """Questions about one made-up delivery form of four to seven lines."""
    values = {
        "编号": f"QH{rng.randint(100, 9999)}",
        "品名": names.product(rng, share),
        "件数": f"{rng.randint(2, 999)}件",
        "库位": rng.choice(WAREHOUSES),
        "经手": names.person(rng, share),
        "运法": rng.choice(CARRIERS),
        "状态": rng.choice(STATES),
        "限期": names.date(rng),
    }
    fields = rng.sample(list(values), rng.randint(4, 7))
    text = rng.choice(["\n", "；", "，"]).join(
        f"{field}{'：' if rng.random() < 0.7 else ''}{values[field]}" for field in fields
    )
    return [
        Item(
            "extract",
            rng.choice(FORM_PROMPTS).format(p=text, q=rng.choice(FORM_FIELDS[field])),
            values[field],
            cluster=cluster,
        )
        for field in rng.sample(fields, size)
    ]


def bulletin(rng: Random, share: Share, cluster: str) -> Item:
    """One bulletin and its summary in the house style."""
    low, high = sorted(rng.sample(range(2, 90), 2))
    values = {
        "team": rng.choice(TEAMS),
        "product": names.product(rng, share),
        "date": names.date(rng),
        "months": names.months(rng),
        "person": names.person(rng, share),
        "price": f"{low * 10 + 9}元",
        "price2": f"{high * 100}元",
        "warehouse": rng.choice(WAREHOUSES),
        "n": str(rng.randint(2, 99)),
        "n2": str(rng.randint(2, 40)),
        "venue": names.stem(rng, share) + rng.choice(names.VENUES),
        "city": rng.choice(names.CITIES),
        "fault": rng.choice(FAULTS),
        "hours": str(rng.randint(1, 12)),
        "phone": str(rng.randint(1000, 9999)),
    }
    leads, gist = rng.choice(BULLETINS)
    extras = [extra.format(**values) for extra in rng.sample(EXTRAS, rng.randint(1, 3))]
    parts = (
        [extras[0], rng.choice(leads).format(**values), *extras[1:]]
        if rng.random() < 0.3
        else [rng.choice(leads).format(**values), *extras]
    )
    return Item("summary", rng.choice(SUMMARY_PROMPTS).format(t="".join(parts)), gist.format(**values), cluster=cluster)
