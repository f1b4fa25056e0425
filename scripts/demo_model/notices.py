# ruff: noqa: E501, SIM905 (tables of Chinese text, where a full-width character counts as two columns)
"""One-sentence summaries: a made-up notice or news item of three to five sentences, and its gist in one sentence."""

from random import Random

from scripts.demo_model import names
from scripts.demo_model.items import Item
from scripts.demo_model.names import Share
from scripts.demo_model.notice_kinds import KINDS, Kind

PROMPTS = (
    "用一句话概括下面的内容：\n{t}",
    "请用一句话总结：\n{t}",
    "概括下面的通知：\n{t}",
    "{t}\n\n请用一句话概括上文。",
    "下面这段话的主要内容是什么？用一句话回答。\n{t}",
    "把下面的消息缩写成一句话：\n{t}",
    "{t}\n这则消息说了什么？请一句话说明。",
    "摘要任务。请把以下内容写成一句话摘要：\n{t}",
)
GREETINGS = (
    "各位居民：",
    "各位同事：",
    "通知：",
    "公告：",
    "尊敬的顾客：",
    "据悉，",
    "记者获悉，",
    "最新消息：",
    "",
    "",
    "",
)
CLOSINGS = (
    "请大家互相转告。",
    "给您带来的不便，敬请谅解。",
    "感谢大家的理解与支持。",
    "欢迎广大市民参加。",
    "详情请看公告栏。",
    "请提前做好安排。",
    "如有变化，将另行通知。",
    "有疑问可到现场咨询。",
    "工作人员将在现场提供帮助。",
    "希望大家积极配合。",
    "请注意安全。",
    "机会难得，不要错过。",
)


TITLES = "店长 厂长 校长 院长 主编 总经理 董事长 教练 馆长 队长".split()
TITLE_PROMPTS = (
    "给下面的消息拟一个标题：\n{t}",
    "{t}\n\n请为上文写一个标题。",
    "为这则通知起标题：\n{t}",
    "写标题：{t}",
)
POINT_PROMPTS = (
    "列出下面内容的要点：\n{t}",
    "{t}\n\n请整理成要点。",
    "把通知整理成“项目：内容”的形式：\n{t}",
    "提取要点：\n{t}",
)
CAUSES = "管道检修 道路施工 设备更换 管网改造 水泵故障 线路维修".split()
REASONS = "原材料涨价 方便顾客 提高效率 节约成本 扩大销售 季节变化 运输费用上涨".split()
FAULTS = "漏电 过热 漏水 开裂 松动 起火 断裂 掉漆".split()
RANKS = "冠军 第一名 亚军 第二名 季军 一等奖 二等奖 金奖 银奖 最佳新人奖".split()
WEATHER = "台风 暴雨 大雪 寒潮 大雾 高温 沙尘暴 洪水".split()
GIFTS = "雨伞 水杯 书包 毛巾 礼盒 购物券 笔记本 玩具 茶叶 电影票".split()


def slots(rng: Random, share: Share) -> dict[str, str]:
    """Every value a notice may need, all drawn anew."""
    low, high = sorted(rng.sample(range(1, 90), 2))
    first, second = rng.sample([f"{low * 10 + 9}元", f"{high * 10 + 9}元"], 2)
    return {
        "org": names.organisation(rng, share),
        "org2": names.organisation(rng, share),
        "date2": names.date(rng),
        "person2": names.person(rng, share),
        "title": rng.choice(TITLES),
        "date": names.date(rng),
        "clock": names.clock(rng),
        "venue": names.venue(rng, share),
        "event": names.stem(rng, share) + rng.choice(names.EVENTS),
        "person": names.person(rng, share),
        "product": names.product(rng, share),
        "place": names.place(rng, share),
        "address": names.address(rng, share),
        "price": first,
        "price2": second,
        "phone": names.phone(rng),
        "dept": rng.choice(names.DEPARTMENTS),
        "city": rng.choice(names.CITIES),
        "job": rng.choice(names.JOBS),
        "material": rng.choice(names.MATERIALS),
        "colour": rng.choice(names.COLOURS),
        "months": names.months(rng),
        "days": names.days(rng),
        "n": str(rng.randint(20, 3000)),
        "n2": str(rng.randint(1, 30)),
        "n3": str(rng.randint(1, 9)),
        "hours": str(rng.randint(2, 24)),
        "age": str(rng.randint(8, 70)),
        "years": str(rng.randint(1, 8)),
        "cause": rng.choice(CAUSES),
        "cause2": rng.choice(REASONS),
        "fault": rng.choice(FAULTS),
        "rank": rng.choice(RANKS),
        "weather": rng.choice(WEATHER),
        "gift": rng.choice(GIFTS),
    }


def body(rng: Random, kind: Kind, values: dict[str, str], leads: tuple[str, ...]) -> str:
    """The notice itself: greeting, lead, one to four details, closing; in a quarter of them a detail comes before the lead."""
    details = [text.format(**values) for text in rng.sample(kind.details, rng.randint(1, 4))]
    lead = rng.choice(leads).format(**values)
    parts = [details[0], lead, *details[1:]] if rng.random() < 0.25 else [lead, *details]
    closing = rng.choice(CLOSINGS) if rng.random() < 0.7 else ""
    return rng.choice(GREETINGS) + "".join(parts) + closing


def summary(rng: Random, share: Share, cluster: str = "") -> Item:
    """One notice and its one-sentence summary; held-out ones use new names, and two in five a lead never trained."""
    kind = rng.choice(KINDS)
    values = slots(rng, share)
    leads = kind.heldout_leads if share == "heldout" and rng.random() < 0.4 else kind.leads
    prompt = rng.choice(PROMPTS).format(t=body(rng, kind, values, leads))
    return Item("summary", prompt, kind.gist.format(**values), "找出主语、时间和事情，去掉细节。", cluster)


def restyled(rng: Random) -> Item:
    """The gist of a training notice as a title or as points."""
    kind = rng.choice(KINDS)
    values = slots(rng, "train")
    form, prompts = rng.choice([(kind.title, TITLE_PROMPTS), (kind.points, POINT_PROMPTS)])
    return Item("style", rng.choice(prompts).format(t=body(rng, kind, values, kind.leads)), form.format(**values))
