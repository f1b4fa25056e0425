# ruff: noqa: E501, SIM905 (tables of Chinese text, where a full-width character counts as two columns)
"""What can be said and asked about made-up things: for each attribute its values, clauses and question wordings.

The same wordings serve questions about a passage, the fictional catalogue that pretraining stores in the weights, and
the teaching set: they are what makes "多少钱", "什么价" and "售价是多少" mean the same to the model.
`{e}` is the thing asked about, `{v}` the value. Clauses leave their subject out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from scripts.demo_model import names
from scripts.demo_model.names import Share

Sampler = Callable[[Random, Share], str]


@dataclass(frozen=True)
class Attribute:
    """One attribute of one kind of thing."""

    key: str
    sample: Sampler
    clauses: tuple[str, ...]
    questions: tuple[str, ...]


def _pick(options: list[str]) -> Sampler:
    return lambda rng, share: rng.choice(options)


def _plain(sampler: Callable[[Random], str]) -> Sampler:
    return lambda rng, share: sampler(rng)


def _count(low: int, high: int, units: str) -> Sampler:
    return lambda rng, share: names.count(rng, low, high, rng.choice(units.split()))


def _attribute(key: str, sample: Sampler, clauses: str, questions: str) -> Attribute:
    return Attribute(key, sample, tuple(clauses.split()), tuple(questions.split()))


PRODUCT = (
    _attribute(
        "price",
        _plain(names.price),
        "售价为{v} 定价{v} 零售价是{v} 价格为{v} 单价{v} 目前卖{v} 活动价{v}",
        "{e}多少钱？ {e}的售价是多少？ {e}卖多少钱？ {e}什么价？ 买{e}要花多少钱？ {e}的价格是多少？ {e}定价多少？ 想买{e}需要多少钱？ "
        "{e}怎么卖？ {e}的零售价是多少？ 一件{e}多少钱？ 购买{e}需要付多少钱？",
    ),
    _attribute(
        "warranty",
        _plain(names.months),
        "保修期为{v} 保修{v} 质保{v} 享受{v}保修 提供{v}的质保服务 整机保修{v}",
        "{e}保修多久？ {e}的保修期是多长？ {e}质保多长时间？ {e}能保修多少时间？ {e}的质保期是多久？ {e}坏了多长时间内可以免费修？ "
        "{e}的保修时间有多长？ 买了{e}可以保修多久？ {e}保多长时间？ {e}免费维修的期限是多久？",
    ),
    _attribute(
        "weight",
        _count(1, 900, "千克 克 公斤"),
        "重量为{v} 净重{v} 重{v} 机身重{v} 整体重量约{v}",
        "{e}有多重？ {e}的重量是多少？ {e}重多少？ {e}净重是多少？ {e}多重？ {e}的分量是多少？ {e}称起来有多重？",
    ),
    _attribute(
        "colour",
        _pick(names.COLOURS),
        "颜色为{v} 外观采用{v} 只有{v}一种颜色 机身为{v} 外壳是{v}的",
        "{e}是什么颜色？ {e}的颜色是什么？ {e}有什么颜色？ {e}的外观是什么颜色的？ {e}是哪种颜色？ {e}做成了什么颜色？ {e}的机身是什么色？",
    ),
    _attribute(
        "release",
        _plain(names.date),
        "将于{v}上市 {v}正式发售 于{v}开售 上市日期是{v} {v}起在各门店销售",
        "{e}什么时候上市？ {e}哪天开售？ {e}的上市日期是哪天？ {e}什么时候发售？ {e}几月几日上市？ {e}何时开始卖？ 什么时候能买到{e}？ "
        "{e}的发售时间是什么时候？",
    ),
    _attribute(
        "origin",
        _pick(names.CITIES),
        "产自{v} 在{v}生产 产地为{v} 由{v}的工厂制造 原产地是{v}",
        "{e}产自哪里？ {e}是哪里生产的？ {e}的产地是哪里？ {e}在哪儿制造？ {e}是在哪个城市生产的？ {e}的原产地是什么地方？ {e}出自哪里？",
    ),
    _attribute(
        "material",
        _pick(names.MATERIALS),
        "采用{v}材质 主要材料是{v} 由{v}制成 外壳使用{v} 用{v}做成",
        "{e}是什么材质的？ {e}用什么做的？ {e}的材料是什么？ {e}采用什么材质？ {e}由什么制成？ {e}的主要材料是什么？",
    ),
    _attribute(
        "battery",
        _count(2, 90, "小时 天"),
        "续航{v} 充满电可用{v} 一次充电能用{v} 待机时间为{v} 电池可以支持{v}",
        "{e}能用多长时间？ {e}的续航是多久？ {e}充一次电能用多久？ {e}续航多长时间？ {e}的电池能撑多久？ {e}充满电可以用多久？",
    ),
    _attribute(
        "capacity",
        _count(1, 600, "升 毫升"),
        "容量为{v} 可装{v} 容积{v} 内部容量达到{v}",
        "{e}的容量是多少？ {e}能装多少？ {e}容量多大？ {e}的容积有多大？ {e}可以装多少？ {e}有多大容量？",
    ),
    _attribute(
        "power",
        _count(3, 2800, "瓦"),
        "功率为{v} 额定功率{v} 最大功率达到{v} 工作功率是{v}",
        "{e}的功率是多少？ {e}功率多大？ {e}的额定功率是多少？ {e}是多少瓦的？ {e}的最大功率有多大？",
    ),
    _attribute(
        "designer",
        names.person,
        "由{v}设计 设计师是{v} 出自{v}之手 由设计师{v}完成设计",
        "{e}是谁设计的？ {e}的设计师是谁？ 谁设计了{e}？ {e}出自谁之手？ {e}由谁设计？ 设计{e}的人是谁？",
    ),
)

SERVICE = (
    _attribute(
        "hotline",
        _plain(names.phone),
        "客服电话是{v} 咨询电话{v} 热线电话为{v} 服务热线{v} 请拨打{v}咨询",
        "{e}的客服电话是多少？ {e}的电话是多少？ 怎么联系{e}？ 打哪个电话可以找到{e}？ {e}的服务热线是多少？ {e}的热线号码是什么？ "
        "想咨询{e}该打什么电话？ {e}的联系电话是多少？",
    ),
    _attribute(
        "return_days",
        _plain(names.days),
        "支持{v}内退货 {v}内可以退货 退货期限为{v} 购买后{v}内可无理由退货",
        "在{e}买的东西几天内可以退货？ {e}的退货期限是多久？ {e}支持多少天退货？ {e}多长时间内能退货？ {e}可以退货的时间是多久？ "
        "{e}退货最晚要在几天之内？",
    ),
    _attribute(
        "shipping_days",
        _plain(names.days),
        "下单后{v}内发货 发货时间为{v} 一般{v}发货 付款后{v}寄出",
        "{e}下单后多久发货？ {e}几天发货？ {e}的发货时间是多久？ 在{e}下单多少天能发货？ {e}多长时间寄出商品？ {e}发货要等多久？",
    ),
    _attribute(
        "refund_days",
        _plain(names.days),
        "退款将在{v}内到账 退款{v}到账 退款需要{v}",
        "{e}的退款多久到账？ {e}退款要几天？ {e}多长时间能收到退款？ {e}的退款时间是多久？ {e}退的钱什么时候能到？",
    ),
    _attribute(
        "founder",
        names.person,
        "由{v}创办 创始人是{v} 创立者为{v} 由{v}一手创立",
        "{e}是谁创办的？ {e}的创始人是谁？ 谁创立了{e}？ {e}由谁创立？ {e}的创办人是谁？ 是谁开了{e}？",
    ),
    _attribute(
        "founded",
        _plain(names.year),
        "成立于{v} {v}成立 创建于{v} 于{v}开业",
        "{e}成立于哪一年？ {e}是哪年成立的？ {e}什么时候成立的？ {e}创建于哪年？ {e}的成立年份是哪年？ {e}是什么时候创办的？",
    ),
    _attribute(
        "city",
        _pick(names.CITIES),
        "总部位于{v} 总部设在{v} 位于{v} 地处{v}",
        "{e}的总部在哪里？ {e}总部位于哪个城市？ {e}在哪个城市？ {e}的总部设在什么地方？ {e}位于哪里？ {e}在哪儿？",
    ),
    _attribute(
        "staff",
        _count(8, 3000, "人 名"),
        "现有员工{v} 员工共{v} 拥有职工{v} 团队共有{v}",
        "{e}有多少员工？ {e}的员工人数是多少？ {e}一共有多少人？ {e}的员工有多少？ {e}团队有多少人？",
    ),
    _attribute(
        "opening",
        _plain(names.clock),
        "每天{v}开门 营业时间从{v}开始 {v}开始营业 每日{v}开始上班",
        "{e}几点开门？ {e}什么时候开始营业？ {e}每天几点营业？ {e}的开门时间是几点？ {e}几点上班？ {e}早上最早几点能去？",
    ),
    _attribute(
        "manager",
        names.person,
        "负责人是{v} 经理为{v} 由{v}负责管理 联系人{v}",
        "{e}的负责人是谁？ {e}由谁负责？ 谁负责管理{e}？ {e}的经理是谁？ {e}的联系人是谁？ 谁在管{e}？",
    ),
    _attribute(
        "invoice",
        _plain(names.days),
        "发票在{v}内开出 开具发票需要{v} 电子发票{v}内发送",
        "{e}的发票多久能开？ {e}开发票要几天？ {e}多长时间开具发票？ {e}几天能拿到发票？ {e}开票时间是多久？",
    ),
    _attribute(
        "shipping_fee",
        _plain(names.price),
        "满{v}包邮 订单满{v}免运费 消费满{v}免费配送",
        "{e}满多少包邮？ {e}买多少钱可以免运费？ {e}免运费的门槛是多少？ 在{e}买满多少钱包邮？ {e}消费多少免费配送？",
    ),
)

EVENT = (
    _attribute(
        "date",
        _plain(names.date),
        "将于{v}举行 定于{v}举办 时间为{v} {v}举行 活动日期是{v}",
        "{e}什么时候举行？ {e}哪天举办？ {e}的日期是哪天？ {e}在几月几日？ {e}何时举行？ {e}的时间是哪天？ {e}安排在哪一天？",
    ),
    _attribute(
        "clock",
        _plain(names.clock),
        "{v}开始 {v}准时开始 开始时间为{v} {v}正式开场",
        "{e}几点开始？ {e}的开始时间是几点？ {e}几点钟开场？ {e}当天什么时间开始？ {e}从几点开始？",
    ),
    _attribute(
        "venue",
        names.venue,
        "地点在{v} 在{v}举行 地点为{v} 活动地点设在{v} 于{v}进行",
        "{e}在哪里举行？ {e}的地点在哪里？ {e}在什么地方举办？ {e}的地点是哪里？ 去哪里参加{e}？ {e}在哪儿开？",
    ),
    _attribute(
        "host",
        names.organisation,
        "由{v}主办 主办方是{v} 由{v}组织 主办单位为{v}",
        "{e}由谁主办？ {e}的主办方是谁？ {e}是哪个单位主办的？ 谁主办了{e}？ {e}由哪个单位组织？ 举办{e}的单位是哪家？",
    ),
    _attribute(
        "speaker",
        names.person,
        "由{v}主讲 主持人是{v} 邀请{v}担任嘉宾 特邀嘉宾为{v}",
        "{e}的嘉宾是谁？ {e}由谁主持？ {e}请了谁？ 谁是{e}的嘉宾？ {e}邀请了哪位嘉宾？",
    ),
    _attribute(
        "fee",
        _plain(names.price),
        "报名费{v} 门票{v} 票价为{v} 每人收费{v}",
        "{e}的门票多少钱？ 参加{e}要交多少钱？ {e}的票价是多少？ {e}收费多少？ {e}的报名费是多少？ 去{e}要花多少钱？",
    ),
    _attribute(
        "seats",
        _count(10, 2000, "人 名"),
        "名额{v} 限{v}参加 预计{v}参加 最多容纳{v}",
        "{e}有多少名额？ {e}限多少人参加？ {e}最多能有多少人？ {e}的名额是多少？ 多少人可以参加{e}？",
    ),
    _attribute(
        "deadline",
        _plain(names.date),
        "报名截止到{v} {v}截止报名 请在{v}前报名 报名截止日期为{v}",
        "{e}的报名截止日期是哪天？ {e}报名到什么时候？ 最晚什么时候报名{e}？ {e}哪天截止报名？ {e}报名截止是几号？",
    ),
    _attribute(
        "contact",
        _pick(names.DEPARTMENTS),
        "报名请到{v} 请联系{v}报名 由{v}负责报名 咨询请找{v}",
        "参加{e}找哪个部门？ {e}去哪里报名？ {e}由哪个部门负责报名？ 报名{e}要联系谁？ 想咨询{e}该找谁？",
    ),
)

PERSON = (
    _attribute(
        "birth",
        _plain(names.year),
        "出生于{v} {v}出生 生于{v}",
        "{e}出生于哪一年？ {e}是哪年出生的？ {e}生于哪年？ {e}什么时候出生？ {e}的出生年份是哪年？",
    ),
    _attribute(
        "hometown",
        _pick(names.CITIES),
        "{v}人 老家在{v} 家乡是{v} 来自{v}",
        "{e}是哪里人？ {e}的老家在哪里？ {e}的家乡是哪里？ {e}来自哪个城市？ {e}是什么地方的人？",
    ),
    _attribute(
        "job",
        _pick(names.JOBS),
        "是一名{v} 职业是{v} 当了多年{v} 现在做{v}",
        "{e}是做什么的？ {e}的职业是什么？ {e}从事什么工作？ {e}的工作是什么？ {e}做什么职业？",
    ),
    _attribute(
        "employer",
        names.organisation,
        "在{v}工作 任职于{v} 就职于{v} 目前供职于{v}",
        "{e}在哪里工作？ {e}在哪个单位上班？ {e}任职于哪里？ {e}的工作单位是哪里？ {e}就职于什么单位？",
    ),
    _attribute(
        "hobby",
        _pick("钓鱼 游泳 爬山 下棋 唱歌 跳舞 画画 书法 摄影 跑步 读书 种花 做饭 旅行 打篮球 踢足球 弹琴 骑车".split()),
        "喜欢{v} 爱好{v} 平时热爱{v} 业余时间常常{v}",
        "{e}的爱好是什么？ {e}喜欢做什么？ {e}有什么爱好？ {e}平时喜欢干什么？ {e}业余爱好是什么？",
    ),
    _attribute(
        "mentor",
        names.person,
        "老师是{v} 曾跟随{v}学习 师从{v}",
        "{e}的老师是谁？ {e}跟谁学习过？ {e}师从谁？ 谁教过{e}？ 谁是{e}的老师？",
    ),
)

PLACE = (
    _attribute(
        "area",
        _count(2, 900, "平方公里 亩 公顷"),
        "面积为{v} 占地{v} 总面积{v} 占地面积达{v}",
        "{e}的面积是多少？ {e}有多大？ {e}占地多少？ {e}的总面积是多少？ {e}面积有多大？",
    ),
    _attribute(
        "near",
        _pick(names.CITIES),
        "位于{v}附近 在{v}的郊外 隶属于{v} 坐落在{v}",
        "{e}在哪里？ {e}位于哪个城市？ {e}在什么地方？ {e}隶属于哪里？ {e}坐落在哪儿？",
    ),
    _attribute(
        "built",
        _plain(names.year),
        "建于{v} {v}建成 始建于{v} 于{v}对外开放",
        "{e}建于哪一年？ {e}是什么时候建成的？ {e}始建于哪年？ {e}是哪年修建的？ {e}的建成时间是哪年？",
    ),
    _attribute(
        "specialty",
        _pick(
            "苹果 茶叶 大米 竹笋 蜂蜜 豆腐 米酒 葡萄 橘子 核桃 红薯 咸鸭蛋 火腿 莲藕 板栗 辣椒 丝绸 陶器 剪纸 竹编".split()
        ),
        "特产是{v} 盛产{v} 以{v}闻名 出产的{v}很有名",
        "{e}的特产是什么？ {e}盛产什么？ {e}以什么闻名？ {e}有什么特产？ {e}什么东西最有名？",
    ),
    _attribute(
        "ticket",
        _plain(names.price),
        "门票{v} 成人票价{v} 票价为{v} 入园需购票{v}",
        "{e}的门票多少钱？ {e}票价是多少？ 进{e}要买多少钱的票？ 去{e}玩一次门票多少？ {e}的成人票是多少？",
    ),
    _attribute(
        "visitors",
        _count(2, 900, "万人 万人次"),
        "每年接待游客{v} 年游客量达{v} 去年有{v}来访",
        "{e}每年接待多少游客？ {e}的年游客量是多少？ 每年有多少人去{e}？ {e}一年来多少游客？",
    ),
    _attribute(
        "open",
        _plain(names.clock),
        "每天{v}开放 开放时间从{v}起 {v}开门迎客",
        "{e}几点开放？ {e}什么时候开门？ {e}从几点开始可以进？ {e}的开放时间是几点？ {e}几点开门？",
    ),
)
