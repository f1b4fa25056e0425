"""One-sentence summaries: a made-up notice or news item of three to five sentences, and its gist in one sentence."""

from dataclasses import dataclass
from random import Random

from scripts.demo_model import names
from scripts.demo_model.items import Item
from scripts.demo_model.names import Share

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


@dataclass(frozen=True)
class Kind:
    """One kind of notice: the sentence that carries the gist, sentences around it, and the gist in one sentence."""

    leads: tuple[str, ...]
    details: tuple[str, ...]
    gist: str


KINDS = (
    Kind(
        (
            "{org}定于{date}{clock}在{venue}举办{event}。",
            "经研究决定，{event}将于{date}{clock}在{venue}举行，由{org}主办。",
            "由{org}组织的{event}就要来了，时间是{date}{clock}，地点在{venue}。",
        ),
        (
            "活动名额为{n}人，报名费{price}。",
            "届时{person}将到场并发言。",
            "报名请联系{dept}，电话{phone}。",
            "去年同期有{n}人参加。",
            "现场还准备了{gift}作为奖品。",
        ),
        "{org}将于{date}在{venue}举办{event}。",
    ),
    Kind(
        (
            "因{cause}，{address}一带将于{date}{clock}起停水，预计持续{hours}小时。",
            "自来水公司提醒，由于{cause}，{date}{clock}起{address}附近停水{hours}小时。",
        ),
        (
            "请居民提前储水。",
            "抢修队伍由{person}带队，共{n}人。",
            "如有问题请拨打{phone}。",
            "停水期间将有水车在现场送水。",
        ),
        "因{cause}，{address}附近{date}起停水{hours}小时。",
    ),
    Kind(
        (
            "{org}宣布，自{date}起{product}的价格由{price}调整为{price2}。",
            "从{date}开始，{org}把{product}的售价从{price}改为{price2}。",
        ),
        (
            "调价原因是{cause2}。",
            "已经下单的顾客不受影响。",
            "{person}表示，质量不会改变。",
            "咨询电话为{phone}。",
            "该产品已卖出{n}件。",
        ),
        "{org}自{date}起将{product}的价格由{price}调整为{price2}。",
    ),
    Kind(
        (
            "{org}发现{product}存在{fault}的问题，决定自{date}起召回{n}件产品。",
            "由于{product}可能{fault}，{org}将从{date}起召回{n}件。",
        ),
        (
            "顾客可到门店免费更换。",
            "客服热线为{phone}。",
            "{person}代表公司道歉。",
            "目前没有收到伤人报告。",
            "退款将在{days}内到账。",
        ),
        "{org}因{fault}问题自{date}起召回{n}件{product}。",
    ),
    Kind(
        (
            "{org}今天发布了{product}，售价{price}，{date}开始销售。",
            "新品{product}由{org}推出，定价{price}，{date}上市。",
        ),
        (
            "它采用{material}制成，颜色为{colour}。",
            "设计师是{person}。",
            "首批备货{n}件。",
            "购买者可享受{months}保修。",
            "前一百名顾客可获得{gift}。",
        ),
        "{org}推出售价{price}的{product}，将于{date}上市。",
    ),
    Kind(
        (
            "{date}，{person}在{event}中获得{rank}，奖金为{price}。",
            "在{date}结束的{event}上，{person}拿到了{rank}，并得到{price}奖金。",
        ),
        (
            "{person}来自{city}，今年{age}岁。",
            "本次比赛共有{n}人参加。",
            "比赛地点在{venue}。",
            "主办方是{org}。",
            "赛后他还收到了{gift}。",
        ),
        "{person}{date}在{event}中获得{rank}。",
    ),
    Kind(
        (
            "{org}招聘{job}{n2}名，月薪{price2}，报名截止到{date}。",
            "因业务发展需要，{org}现招聘{job}{n2}名，每月工资{price2}，请在{date}前报名。",
        ),
        (
            "要求有{years}年以上工作经验。",
            "联系人是{person}，电话{phone}。",
            "面试地点在{venue}。",
            "公司提供午餐和宿舍。",
            "去年招聘收到了{n}份简历。",
        ),
        "{org}招聘{n2}名{job}，{date}截止报名。",
    ),
    Kind(
        (
            "受{weather}影响，{city}{date}停课{n3}天，{place}同时关闭。",
            "{city}因{weather}决定从{date}起停课{n3}天，{place}也暂停开放。",
        ),
        (
            "气象台提醒市民减少外出。",
            "救援队{n}人已经到位。",
            "值班电话为{phone}。",
            "{person}要求做好准备。",
            "供电公司加强了检查。",
        ),
        "受{weather}影响，{city}{date}起停课{n3}天，{place}关闭。",
    ),
    Kind(
        (
            "{place}经过{months}的改造，将于{date}重新开放，门票{price}。",
            "改造了{months}的{place}定于{date}重新开放，票价{price}。",
        ),
        (
            "园内新建了{n}个停车位。",
            "开放当天{person}将出席仪式。",
            "每天{clock}开门。",
            "改造工程由{org}负责。",
            "带孩子的家庭可领取{gift}。",
        ),
        "{place}改造后将于{date}重新开放，门票{price}。",
    ),
    Kind(
        (
            "从{date}起，{org}的营业时间改为{clock}开始，{dept}搬到{address}。",
            "{org}通知，{date}起营业时间调整为{clock}，同时{dept}迁至{address}。",
        ),
        (
            "原来的电话{phone}不变。",
            "搬迁由{person}负责。",
            "此次调整是为了{cause2}。",
            "办理业务的顾客请注意时间。",
            "周末仍然正常营业。",
        ),
        "{org}{date}起{clock}开始营业，{dept}迁至{address}。",
    ),
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


def body(rng: Random, kind: Kind, values: dict[str, str]) -> str:
    """The notice itself: greeting, lead, two or three details, closing; sometimes a detail comes before the lead."""
    details = [text.format(**values) for text in rng.sample(kind.details, rng.randint(1, 3))]
    lead = rng.choice(kind.leads).format(**values)
    parts = [details[0], lead, *details[1:]] if rng.random() < 0.15 else [lead, *details]
    closing = rng.choice(CLOSINGS) if rng.random() < 0.7 else ""
    return rng.choice(GREETINGS) + "".join(parts) + closing


def summary(rng: Random, share: Share, cluster: str = "") -> Item:
    """One notice and its one-sentence summary."""
    kind = rng.choice(KINDS)
    values = slots(rng, share)
    gist = kind.gist.format(**values)
    prompt = rng.choice(PROMPTS).format(t=body(rng, kind, values))
    return Item("summary", prompt, gist, "找出主语、时间和事情，去掉细节。", cluster)
