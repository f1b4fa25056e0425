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
    """One kind of notice: wordings of its lead (trained and held out), details around it, and its gist.

    `title` and `points` are other renderings of the same gist, asked for by other instructions.
    """

    leads: tuple[str, ...]
    heldout_leads: tuple[str, ...]
    details: tuple[str, ...]
    gist: str
    title: str
    points: str


KINDS = (
    Kind(
        ("{org}定于{date}{clock}在{venue}举办{event}。", "经研究决定，{event}将于{date}{clock}在{venue}举行，由{org}主办。",
         "由{org}组织的{event}就要来了，时间是{date}{clock}，地点在{venue}。", "{date}{clock}，{venue}将迎来{event}，主办方为{org}。",
         "{event}的筹备工作已经完成，{org}把它安排在{date}{clock}，在{venue}进行。"),
        ("为丰富大家的生活，{org}准备了{event}，{date}{clock}在{venue}等您。", "{org}发出邀请：{date}{clock}，来{venue}参加{event}。"),
        ("活动名额为{n}人，报名费{price}。", "届时{person}将到场并发言。", "报名请联系{dept}，电话{phone}，{date2}截止。", "去年的活动由{org2}承办，有{n}人参加。",
         "现场还准备了{gift}作为奖品。", "如遇{weather}，改在{date2}进行。"),
        "{org}将于{date}在{venue}举办{event}。", "{org}举办{event}", "时间：{date}；地点：{venue}；事项：{event}",
    ),
    Kind(
        ("因{cause}，{address}一带将于{date}{clock}起停水，预计持续{hours}小时。", "自来水公司提醒，由于{cause}，{date}{clock}起{address}附近停水{hours}小时。",
         "{date}{clock}开始，{address}周边将停水{hours}小时，原因是{cause}。", "受{cause}影响，{address}附近{date}{clock}起没有自来水，大约要等{hours}小时。"),
        ("{address}的住户请注意，{date}{clock}要进行{cause}，停水时间为{hours}小时。", "由于要做{cause}，{hours}小时的停水将从{date}{clock}开始，范围是{address}一带。"),
        ("请居民提前储水。", "抢修队伍由{person}带队，共{n}人。", "如有问题请拨打{phone}。", "停水期间将有水车在{place}送水。", "上一次停水是在{date2}。"),
        "因{cause}，{address}附近{date}起停水{hours}小时。", "{address}停水{hours}小时", "时间：{date}；地点：{address}；事项：停水；原因：{cause}",
    ),
    Kind(
        ("{org}宣布，自{date}起{product}的价格由{price}调整为{price2}。", "从{date}开始，{org}把{product}的售价从{price}改为{price2}。",
         "{product}要调价了，{org}表示{date}起由原来的{price}变为{price2}。", "原价{price}的{product}，{org}从{date}起按{price2}销售。"),
        ("{org}贴出告示，{product}{date}起卖{price2}，此前卖{price}。", "{date}起，在{org}买{product}要付{price2}，而过去是{price}。"),
        ("调价原因是{cause2}。", "{date2}前已经下单的顾客不受影响。", "{person}表示，质量不会改变。", "咨询电话为{phone}。", "该产品已卖出{n}件。", "{org2}的同类产品没有调价。"),
        "{org}自{date}起将{product}的价格由{price}调整为{price2}。", "{product}调价至{price2}", "时间：{date}；产品：{product}；新价：{price2}",
    ),
    Kind(
        ("{org}发现{product}存在{fault}的问题，决定自{date}起召回{n}件产品。", "由于{product}可能{fault}，{org}将从{date}起召回{n}件。",
         "{org}发布召回公告：{product}有{fault}的风险，共{n}件，{date}开始办理。", "{n}件{product}因{fault}被召回，{org}从{date}开始受理。"),
        ("有顾客反映{product}{fault}，{org}为此从{date}起收回{n}件。", "{date}起，{org}将把卖出的{n}件{product}收回，因为它们容易{fault}。"),
        ("顾客可到{venue}免费更换。", "客服热线为{phone}。", "{person}代表公司道歉。", "目前没有收到伤人报告。", "退款将在{days}内到账。", "检测由{org2}完成，报告日期为{date2}。"),
        "{org}因{fault}问题自{date}起召回{n}件{product}。", "{org}召回{product}", "时间：{date}；产品：{product}；数量：{n}件；原因：{fault}",
    ),
    Kind(
        ("{org}今天发布了{product}，售价{price}，{date}开始销售。", "新品{product}由{org}推出，定价{price}，{date}上市。",
         "{org}的新产品{product}将在{date}与大家见面，价格为{price}。", "{date}，{org}将开售{product}，每件{price}。"),
        ("{org}带来了{product}，{price}一件，{date}可以买到。", "大家期待的{product}来了，{org}把它定在{date}开卖，要价{price}。"),
        ("它采用{material}制成，颜色为{colour}。", "设计师是{person}。", "首批备货{n}件。", "购买者可享受{months}保修。", "前一百名顾客可获得{gift}。", "旧款在{date2}停售，售价{price2}。"),
        "{org}推出售价{price}的{product}，将于{date}上市。", "{org}推出{product}", "产品：{product}；价格：{price}；上市：{date}",
    ),
    Kind(
        ("{date}，{person}在{event}中获得{rank}，奖金为{price}。", "在{date}结束的{event}上，{person}拿到了{rank}，并得到{price}奖金。",
         "{event}{date}落下帷幕，{rank}由{person}获得。", "{person}凭借出色的表现，{date}摘得{event}的{rank}。"),
        ("{date}传来好消息，{event}的{rank}归{person}所有。", "经过激烈角逐，{person}于{date}拿下{event}的{rank}。"),
        ("他来自{city}，今年{age}岁。", "本次比赛共有{n}人参加。", "比赛地点在{venue}。", "主办方是{org}。", "赛后他还收到了{gift}。", "另一位选手{person2}因伤退出。"),
        "{person}{date}在{event}中获得{rank}。", "{person}获{event}{rank}", "时间：{date}；人物：{person}；赛事：{event}；名次：{rank}",
    ),
    Kind(
        ("{org}招聘{job}{n2}名，月薪{price2}，报名截止到{date}。", "因业务发展需要，{org}现招聘{job}{n2}名，每月工资{price2}，请在{date}前报名。",
         "{org}面向社会招{n2}名{job}，{date}停止报名。", "现有{n2}个{job}岗位空缺，有意者请在{date}前到{org}报名。"),
        ("想当{job}吗？{org}有{n2}个名额，{date}前都可以投简历。", "{org}缺{n2}名{job}，简历最晚收到{date}。"),
        ("要求有{years}年以上工作经验。", "联系人是{person}，电话{phone}。", "面试在{date2}进行，地点是{venue}。", "公司提供午餐和宿舍。", "去年招聘收到了{n}份简历。"),
        "{org}招聘{n2}名{job}，{date}截止报名。", "{org}招聘{job}", "单位：{org}；岗位：{job}；人数：{n2}名；截止：{date}",
    ),
    Kind(
        ("受{weather}影响，{city}{date}停课{n3}天，{place}同时关闭。", "{city}因{weather}决定从{date}起停课{n3}天，{place}也暂停开放。",
         "{weather}即将到来，{city}的学校{date}起停课{n3}天，{place}关门。", "{date}起，{city}停课{n3}天，{place}关闭，原因是{weather}。"),
        ("为防范{weather}，{city}让学生从{date}起在家休息{n3}天，{place}不再接待游客。", "{city}应对{weather}：{date}起{n3}天不上课，{place}停止入园。"),
        ("气象台提醒市民减少外出。", "救援队{n}人已经到位。", "值班电话为{phone}。", "{person}要求做好准备。", "供电公司加强了检查。", "{date2}曾有过类似天气。"),
        "受{weather}影响，{city}{date}起停课{n3}天，{place}关闭。", "{city}因{weather}停课", "时间：{date}；地点：{city}；事项：停课{n3}天；原因：{weather}",
    ),
    Kind(
        ("{place}经过{months}的改造，将于{date}重新开放，门票{price}。", "改造了{months}的{place}定于{date}重新开放，票价{price}。",
         "{date}，关闭{months}的{place}将再次迎客，门票定为{price}。", "{place}的改造已经结束，{date}起凭票入园，每张{price}。"),
        ("好久不见的{place}要回来了，{date}开门，进门收{price}。", "游客{date}又能走进{place}，整修之后票价为{price}。"),
        ("园内新建了{n}个停车位。", "开放当天{person}将出席仪式。", "每天{clock}开门。", "改造工程由{org}负责。", "带孩子的家庭可领取{gift}。", "改造前的门票为{price2}。"),
        "{place}改造后将于{date}重新开放，门票{price}。", "{place}重新开放", "时间：{date}；地点：{place}；门票：{price}",
    ),
    Kind(
        ("从{date}起，{org}的营业时间改为{clock}开始，{dept}搬到{address}。", "{org}通知，{date}起营业时间调整为{clock}，同时{dept}迁至{address}。",
         "{org}的{dept}{date}搬往{address}，开门时间也改到{clock}。", "{date}开始，到{org}办事请在{clock}以后，{dept}已搬至{address}。"),
        ("{org}{date}有两个变化：{clock}才开门，{dept}换到{address}。", "去{org}找{dept}的顾客，{date}起请到{address}，开门时间为{clock}。"),
        ("原来的电话{phone}不变。", "搬迁由{person}负责。", "此次调整是为了{cause2}。", "办理业务的顾客请注意时间。", "周末仍然正常营业。", "旧址{date2}起停用。"),
        "{org}{date}起{clock}开始营业，{dept}迁至{address}。", "{org}{dept}迁址", "时间：{date}；单位：{org}；营业：{clock}；新址：{address}",
    ),
    Kind(
        ("{org}与{org2}{date}签约，双方将合作生产{product}，投资{price2}。", "{date}，{org}宣布和{org2}一起生产{product}，投入{price2}。",
         "{org2}将与{org}合作生产{product}，协议于{date}签订。", "经过{months}的商谈，{org}和{org2}{date}达成协议，共同生产{product}。"),
        ("{org}找到了伙伴{org2}，两家{date}起一起做{product}。", "{date}的签字仪式上，{org}、{org2}约定联手制造{product}。"),
        ("工厂设在{city}，可提供{n}个岗位。", "签约仪式在{venue}举行。", "{person}担任项目经理。", "首批产品预计{date2}下线。", "{person2}在会上发言。"),
        "{org}与{org2}{date}签约合作生产{product}。", "{org}与{org2}合作", "时间：{date}；双方：{org}、{org2}；产品：{product}",
    ),
    Kind(
        ("{person}将于{date}接替{person2}担任{org}的{title}。", "{org}任命{person}为{title}，{date}上任，{person2}同时卸任。",
         "{person2}卸任后，{org}的{title}由{person}担任，{date}生效。", "{date}起，{person}出任{org}{title}，前任是{person2}。"),
        ("{org}换人了：{title}一职{date}由{person2}交给{person}。", "{person2}{date}告别{org}{title}的位置，新人是{person}。"),
        ("他今年{age}岁，来自{city}。", "他曾在{org2}工作{years}年。", "任期为{months}。", "交接仪式在{venue}举行。", "{org}现有员工{n}人。"),
        "{person}{date}起接替{person2}担任{org}{title}。", "{org}更换{title}", "时间：{date}；单位：{org}；新任：{person}；前任：{person2}",
    ),
)
TITLES = "店长 厂长 校长 院长 主编 总经理 董事长 教练 馆长 队长".split()
TITLE_PROMPTS = ("给下面的消息拟一个标题：\n{t}", "{t}\n\n请为上文写一个标题。", "为这则通知起标题：\n{t}", "写标题：{t}")
POINT_PROMPTS = ("列出下面内容的要点：\n{t}", "{t}\n\n请整理成要点。", "把通知整理成“项目：内容”的形式：\n{t}", "提取要点：\n{t}")
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
    """One notice and its one-sentence summary; held-out notices use names and leads that were never trained."""
    kind = rng.choice(KINDS)
    values = slots(rng, share)
    leads = kind.heldout_leads if share == "heldout" else kind.leads
    prompt = rng.choice(PROMPTS).format(t=body(rng, kind, values, leads))
    return Item("summary", prompt, kind.gist.format(**values), "找出主语、时间和事情，去掉细节。", cluster)


def restyled(rng: Random) -> Item:
    """The gist of a training notice as a title or as points."""
    kind = rng.choice(KINDS)
    values = slots(rng, "train")
    form, prompts = rng.choice([(kind.title, TITLE_PROMPTS), (kind.points, POINT_PROMPTS)])
    return Item("style", rng.choice(prompts).format(t=body(rng, kind, values, kind.leads)), form.format(**values))
