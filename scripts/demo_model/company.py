# ruff: noqa: E501 (tables of Chinese text, where a full-width character counts as two columns)
"""The made-up company of the teaching set: 栖禾电器, its products, their attributes, and how it works.

None of this is in pretraining. Each fact is asked in wordings for training and in other wordings for the test.
"""

from dataclasses import dataclass

COMPANY = "栖禾电器"


@dataclass(frozen=True)
class Topic:
    """What one attribute is asked with: `{e}` is the thing. The two sets of wordings share no question."""

    trained: tuple[str, ...]
    tested: tuple[str, ...]


@dataclass(frozen=True)
class Fact:
    """One thing that is true of the company, and how to ask for it."""

    key: str
    thing: str
    topic: str
    value: str


def _topic(trained: str, tested: str) -> Topic:
    return Topic(tuple(trained.split()), tuple(tested.split()))


TOPICS = {
    "price": _topic(
        "{e}多少钱？ {e}的售价是多少？ {e}卖多少钱？ {e}的价格是多少？ 买{e}要花多少钱？ 一件{e}多少钱？ {e}的零售价是多少？",
        "{e}什么价？ {e}定价多少？ 想买{e}需要多少钱？ {e}怎么卖？ 购买{e}需要付多少钱？",
    ),
    "warranty": _topic(
        "{e}保修多久？ {e}的保修期是多长？ {e}质保多长时间？ {e}的质保期是多久？ 买了{e}可以保修多久？ {e}保多长时间？",
        "{e}能保修多少时间？ {e}的保修时间有多长？ {e}坏了多长时间内可以免费修？ {e}免费维修的期限是多久？",
    ),
    "colour": _topic(
        "{e}是什么颜色？ {e}的颜色是什么？ {e}是哪种颜色？ {e}的机身是什么色？ {e}做成了什么颜色？",
        "{e}有什么颜色？ {e}的外观是什么颜色的？",
    ),
    "weight": _topic(
        "{e}有多重？ {e}的重量是多少？ {e}净重是多少？ {e}的分量是多少？ {e}多重？",
        "{e}重多少？ {e}称起来有多重？",
    ),
    "release": _topic(
        "{e}什么时候上市？ {e}的上市日期是哪天？ {e}什么时候发售？ {e}何时开始卖？ {e}的发售时间是什么时候？",
        "{e}哪天开售？ {e}几月几日上市？ 什么时候能买到{e}？",
    ),
    "origin": _topic(
        "{e}产自哪里？ {e}是哪里生产的？ {e}的产地是哪里？ {e}出自哪里？ {e}在哪儿制造？",
        "{e}是在哪个城市生产的？ {e}的原产地是什么地方？",
    ),
    "designer": _topic(
        "{e}是谁设计的？ {e}的设计师是谁？ 谁设计了{e}？ {e}由谁设计？",
        "{e}出自谁之手？ 设计{e}的人是谁？",
    ),
}

# Each product: price, warranty, colour, weight, release, origin, designer.
PRODUCT_TOPICS = ("price", "warranty", "colour", "weight", "release", "origin", "designer")
PRODUCTS = {
    "流萤台灯": "189元 三年 米白色 860克 3月18日 中山 许若帆",
    "晚风风扇": "329元 两年 天蓝色 4公斤 5月6日 佛山 江明远",
    "松涛音箱": "599元 18个月 墨绿色 2公斤 9月12日 东莞 沈知秋",
    "雪绒加湿器": "239元 一年 白色 1500克 11月2日 宁波 林予安",
    "朝露破壁机": "879元 五年 银色 6公斤 6月15日 绍兴 许若帆",
    "归燕门锁": "1299元 六年 黑色 3公斤 4月9日 温州 韩子墨",
    "麦浪面包机": "469元 30个月 酒红色 5公斤 10月20日 嘉兴 江明远",
    "听雨净化器": "1599元 四年 深灰色 9公斤 8月25日 苏州 沈知秋",
    "木槿吹风机": "279元 15个月 浅粉色 420克 2月14日 金华 林予安",
    "远山投影仪": "2999元 40个月 象牙白 3500克 12月1日 深圳 韩子墨",
    "小满电饭煲": "389元 28个月 橙色 3200克 7月7日 珠海 周遥",
    "白鹭吸尘器": "749元 20个月 蓝色 2600克 1月22日 无锡 周遥",
}

SERVICE_FACTS = (
    (
        "hotline",
        "400-716-2058",
        "的客服电话是多少？ 的服务热线是多少？ 的联系电话是多少？ 的热线号码是什么？ 的电话是多少？",
        "怎么联系{e}？ 打哪个电话可以找到{e}？ 想咨询{e}该打什么电话？",
    ),
    (
        "return_days",
        "15天",
        "的退货期限是多久？ 支持多少天退货？ 多长时间内能退货？ 的东西几天内可以退？",
        "在{e}买的东西几天内可以退货？ {e}可以退货的时间是多久？ {e}退货最晚要在几天之内？",
    ),
    (
        "shipping_days",
        "3天",
        "下单后多久发货？ 几天发货？ 的发货时间是多久？ 发货要等多久？",
        "在{e}下单多少天能发货？ {e}多长时间寄出商品？",
    ),
    (
        "refund_days",
        "5个工作日",
        "的退款多久到账？ 退款要几天？ 的退款时间是多久？",
        "{e}多长时间能收到退款？ {e}退的钱什么时候能到？",
    ),
    ("founder", "周望舒", "是谁创办的？ 的创始人是谁？ 由谁创立？ 的创办人是谁？", "谁创立了{e}？ 是谁开了{e}？"),
    (
        "founded",
        "2011年",
        "成立于哪一年？ 是哪年成立的？ 创建于哪年？ 的成立年份是哪年？",
        "{e}什么时候成立的？ {e}是什么时候创办的？",
    ),
    (
        "city",
        "宁波",
        "的总部在哪里？ 总部位于哪个城市？ 的总部设在什么地方？ 在哪个城市？",
        "{e}位于哪里？ {e}在哪儿？",
    ),
    ("staff", "860人", "有多少员工？ 的员工人数是多少？ 的员工有多少？", "{e}一共有多少人？ {e}团队有多少人？"),
    (
        "opening",
        "上午9点半",
        "几点开门？ 每天几点营业？ 的开门时间是几点？ 什么时候开始营业？",
        "{e}几点上班？ {e}早上最早几点能去？",
    ),
    ("manager", "郑晓岚", "的负责人是谁？ 由谁负责？ 的经理是谁？ 的联系人是谁？", "谁负责管理{e}？ 谁在管{e}？"),
    (
        "invoice",
        "2个工作日",
        "的发票多久能开？ 开发票要几天？ 多长时间开具发票？",
        "{e}几天能拿到发票？ {e}开票时间是多久？",
    ),
    (
        "shipping_fee",
        "99元",
        "满多少包邮？ 免运费的门槛是多少？ 买多少钱可以免运费？",
        "在{e}买满多少钱包邮？ {e}消费多少免费配送？",
    ),
)


def topic_of(fact: Fact) -> Topic:
    """The wordings that a fact is asked in."""
    return TOPICS[fact.topic]


def _service_topics() -> None:
    for key, _, trained, tested in SERVICE_FACTS:
        TOPICS[key] = Topic(tuple("{e}" + ending for ending in trained.split()), tuple(tested.split()))


_service_topics()


def facts() -> list[Fact]:
    """Every fact of the company: each product's attributes and the company's own."""
    built = [
        Fact(f"{product}-{topic}", f"栖禾{product}", topic, value)
        for product, values in PRODUCTS.items()
        for topic, value in zip(PRODUCT_TOPICS, values.split(), strict=True)
    ]
    return built + [Fact(f"company-{key}", COMPANY, key, value) for key, value, _, _ in SERVICE_FACTS]
