# ruff: noqa: E501, SIM905 (tables of Chinese text, where a full-width character counts as two columns)
"""Made-up names and values, and the split that keeps training, held-out and teaching names apart.

A name's share is fixed by a checksum of its characters, so no list has to be kept to know that a name was never
trained: `share_of("澄溪")` is the same on every machine.
"""

import zlib
from pathlib import Path
from random import Random
from typing import Literal

Share = Literal["train", "heldout", "teach", "teach_test"]

NAME_CHARS = (
    "云溪松竹梅兰菊荷桂枫柳杏桃李橙青蓝紫红白金银铜玉石山川河海湖泉江岭峰谷原野田禾麦稻星月日阳辰晨晓暮夜"
    "雨雪霜露雾风雷虹霞光明亮清澄静宁安康乐喜福瑞祥和平顺达远志诚信义仁德智慧文武英杰俊秀雅丽美新华盛兴旺"
    "昌隆嘉佳优良博宏伟大正中元启创立成长春夏秋冬东南西北天地人心意思齐飞翔鹏鹰燕雀鹤鹿马龙凤鱼舟帆航桥路"
    "城楼阁亭园林森木叶花草芳香甜味力动能源维凯奥科特瓦尔巴拉卡罗米诺贝莱赛迪尼可乐百万千亿同方圆锦绣彩画"
    "琴棋书诗墨砚纸笔印影声音韵律歌舞鼓笛弦灯烛炉茶酒果蜜糖盐油豆芽苗根枝蔓藤萝薇蓉莲芝茵葵棉麻丝绸织染"
)
# Every character that has a token of its own: a third of all names draw on it, so that each of them is trained.
CHARACTERS = Path(__file__).with_name("characters.txt").read_text(encoding="utf-8").replace("\n", "")
SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎"
GIVEN_CHARS = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰红建文国志海波宁欣怡佳雨泽晨梓涵子轩浩然思远博文嘉"
    "若云婷雪梅琳颖慧倩洁莹雯萍蓉鹏飞宇航凯翔坤斌辉健峰龙林森松柏青山川江河天乐安康宁瑞祥恒毅诚信义仁德"
)
CITIES = (
    "北京 上海 广州 深圳 杭州 南京 苏州 成都 重庆 武汉 西安 长沙 郑州 济南 青岛 大连 沈阳 长春 合肥 福州 厦门 南昌 昆明 "
    "贵阳 南宁 海口 兰州 西宁 银川 太原 石家庄 宁波 温州 无锡 常州 徐州 扬州 绍兴 嘉兴 金华 泉州 珠海 佛山 东莞 中山 惠州 "
    "烟台 洛阳 宜昌 襄阳 岳阳 株洲 桂林 绵阳 大理 遵义"
).split()
COLOURS = "白色 黑色 灰色 银色 金色 红色 蓝色 绿色 黄色 紫色 粉色 橙色 棕色 米白色 深灰色 天蓝色 墨绿色 酒红色 象牙白 浅粉色".split()
MATERIALS = (
    "铝合金 不锈钢 实木 竹子 陶瓷 玻璃 纯棉 亚麻 羊毛 真皮 硅胶 塑料 碳纤维 橡木 帆布 尼龙 黄铜 松木 藤条 水晶".split()
)
PRODUCT_TYPES = (
    "台灯 水壶 电饭煲 风扇 空调 冰箱 洗衣机 音箱 耳机 手表 手环 键盘 鼠标 显示器 平板 相机 背包 雨伞 书桌 椅子 沙发 床垫 枕头 "
    "毛毯 保温杯 烤箱 榨汁机 吸尘器 加湿器 净化器 电动车 自行车 滑板 帐篷 望远镜 打印机 投影仪 路由器 充电宝 门锁 摄像头 "
    "咖啡机 破壁机 面包机 体重秤 按摩椅 牙刷 剃须刀 吹风机 熨斗"
).split()
ORG_TYPES = (
    "公司 集团 工厂 商店 书店 超市 餐厅 医院 学校 银行 图书馆 博物馆 研究所 出版社 物业 俱乐部 合作社 工作室".split()
)
PLACE_TYPES = "镇 村 县 公园 古镇 水库 景区 山 湖 岛 湿地 花园 广场 森林公园".split()
VENUES = "体育馆 会议厅 文化宫 大剧院 展览馆 报告厅 活动中心 音乐厅 多功能厅 礼堂 美术馆 科技馆 操场 社区中心".split()
EVENTS = (
    "读书会 音乐会 招聘会 运动会 义卖会 讲座 摄影展 书法展 美食节 灯会 马拉松 篮球赛 象棋赛 演讲比赛 亲子活动 志愿服务 植树活动 "
    "健康讲座 消防演练 电影放映 诗歌朗诵会 手工课 编程课 交流会 发布会 新年晚会 家长会 座谈会 技能大赛 知识竞赛"
).split()
JOBS = "教师 医生 工程师 画家 作家 记者 厨师 司机 律师 摄影师 设计师 护士 农民 科学家 运动员 音乐家 演员 建筑师 程序员 会计".split()
DEPARTMENTS = (
    "客服部 销售部 财务部 人事部 技术部 市场部 采购部 后勤部 售后部 保安室 办公室 教务处 服务台 仓储部 宣传部".split()
)


def share_of(name: str) -> Share:
    """Which split a made-up name belongs to: a tenth held out, two for the teaching set, the rest trained."""
    shares: tuple[Share, ...] = ("heldout", "teach", "teach_test")
    bucket = zlib.crc32(name.encode()) % 10
    return shares[bucket] if bucket < len(shares) else "train"


def stem(rng: Random, share: Share) -> str:
    """A name of two or three characters in the given share, such as 澄溪."""
    while True:
        inventory = CHARACTERS if rng.random() < 0.35 else NAME_CHARS
        name = "".join(rng.choices(inventory, k=3 if rng.random() < 0.2 else 2))
        if share_of(name) == share:
            return name


def person(rng: Random, share: Share) -> str:
    """A person's name in the given share."""
    while True:
        inventory = CHARACTERS if rng.random() < 0.2 else GIVEN_CHARS
        name = rng.choice(SURNAMES) + "".join(rng.choices(inventory, k=1 if rng.random() < 0.3 else 2))
        if share_of(name) == share:
            return name


def product(rng: Random, share: Share) -> str:
    """A product such as 澄溪台灯; sometimes with a model number (澄溪台灯X3)."""
    model = rng.choice("ABCKMPSTX") + str(rng.randint(1, 99)) if rng.random() < 0.15 else ""
    return stem(rng, share) + rng.choice(PRODUCT_TYPES) + model


def organisation(rng: Random, share: Share) -> str:
    """An organisation such as 澄溪书店."""
    return stem(rng, share) + rng.choice(ORG_TYPES)


def place(rng: Random, share: Share) -> str:
    """A place such as 澄溪古镇."""
    return stem(rng, share) + rng.choice(PLACE_TYPES)


def venue(rng: Random, share: Share) -> str:
    """A venue, with or without a name of its own: 澄溪体育馆, 市美术馆, 三楼会议厅."""
    kind = rng.choice(VENUES)
    return rng.choice([stem(rng, share), stem(rng, share), "市", "学校", "二楼", "三楼", "社区"]) + kind


def address(rng: Random, share: Share) -> str:
    """A street address such as 澄溪路18号."""
    return f"{stem(rng, share)}{rng.choice('路街巷')}{rng.randint(1, 299)}号"


def date(rng: Random) -> str:
    """A day of the year such as 5月12日."""
    return f"{rng.randint(1, 12)}月{rng.randint(1, 28)}日"


def year(rng: Random) -> str:
    """A year such as 1986年."""
    return f"{rng.randint(1900, 2029)}年"


def clock(rng: Random) -> str:
    """A time of day such as 上午9点半."""
    part, hour = rng.choice([("上午", rng.randint(7, 11)), ("下午", rng.randint(1, 6)), ("晚上", rng.randint(7, 9))])
    return f"{part}{hour}点{rng.choice(['', '', '半', '10分', '20分', '45分'])}"


def price(rng: Random) -> str:
    """A price in yuan such as 129元."""
    style = rng.random()
    if style < 0.4:
        return f"{rng.randint(10, 999)}元"
    return f"{rng.randint(1, 99) * 10 + 9}元" if style < 0.8 else f"{rng.randint(10, 99) * 100}元"


def months(rng: Random) -> str:
    """A period such as 18个月 or 两年."""
    return rng.choice(
        ["半年", "一年", "两年", "三年", "四年", "五年", "六年", "八年", "十年", f"{rng.randint(2, 60)}个月"]
    )


def days(rng: Random) -> str:
    """A number of days such as 7天 or 15个工作日."""
    return f"{rng.randint(2, 60)}{rng.choice(['天', '天', '个工作日'])}"


def phone(rng: Random) -> str:
    """A hotline such as 400-820-1635, or an extension of five or six digits."""
    if rng.random() < 0.6:
        return f"400-{rng.randint(100, 999)}-{rng.randint(1000, 9999)}"
    return str(rng.randint(10000, 999999))


def count(rng: Random, low: int, high: int, unit: str) -> str:
    """A quantity with its unit such as 320人."""
    return f"{rng.randint(low, high)}{unit}"
