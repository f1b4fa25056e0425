"""Names and things that the programs speak of, in both languages; where a list holds pairs they mean the same."""

from __future__ import annotations

from typing import NamedTuple

NAMES = {
    "zh": [
        "小明",
        "小红",
        "小刚",
        "小丽",
        "小军",
        "小芳",
        "小亮",
        "小梅",
        "小强",
        "小雨",
        "阿杰",
        "阿玲",
        "晓东",
        "晓燕",
        "子涵",
        "雨欣",
        "浩然",
        "思琪",
        "志远",
        "佳怡",
    ],
    "en": [
        "Anna",
        "Ben",
        "Carla",
        "David",
        "Emma",
        "Felix",
        "Grace",
        "Henry",
        "Irene",
        "Jack",
        "Karen",
        "Leo",
        "Maria",
        "Nora",
        "Oscar",
        "Paula",
        "Quinn",
        "Rosa",
        "Sam",
        "Tina",
    ],
}
FULL_NAMES = {
    "zh": ["陈立秋", "周敏", "吴海涛", "林晓岚", "郑伯言", "何佩珊", "徐文博", "孙雅琴", "马建国", "胡思远", "高翔宇", "罗秀英", "梁志勇", "宋雨桐", "唐宏伟", "韩梦洁", "冯德昌", "董依然", "萧振华", "程慧敏", "曹子昂", "袁书仪", "邓国强", "许若兰", "傅明达", "沈静怡", "曾广林", "彭巧云", "吕绍武", "苏婉清"],
    "en": [
        "Alice Turner", "Brian Holt", "Clara Mendez", "Daniel Osei", "Edith Lowe", "Frank Novak", "Gloria Stein",
        "Harold Finch", "Ines Duarte", "Jonas Weber", "Kathleen Moore", "Liam Archer", "Monica Reyes", "Nathan Cole",
        "Olga Petrov", "Peter Quayle", "Rachel Singh", "Stefan Lind", "Teresa Blake", "Victor Hale", "Wendy Park",
        "Yusuf Demir", "Zoe Carter", "Arthur Bell", "Bianca Rossi", "Cedric Okoro", "Diana Frost", "Elliot Marsh",
        "Fiona Grant", "Gregory Pike",
    ],
}  # fmt: skip


class Good(NamedTuple):
    """A thing that is counted, and what it is counted in."""

    zh: str
    measure: str
    en: str
    """Plural."""
    one: str
    """Singular."""


GOODS = [
    Good("笔记本", "本", "notebooks", "notebook"),
    Good("圆珠笔", "支", "pens", "pen"),
    Good("杯子", "个", "cups", "cup"),
    Good("毛巾", "条", "towels", "towel"),
    Good("台灯", "盏", "lamps", "lamp"),
    Good("雨伞", "把", "umbrellas", "umbrella"),
    Good("帽子", "顶", "hats", "hat"),
    Good("书包", "个", "schoolbags", "schoolbag"),
    Good("篮球", "个", "basketballs", "basketball"),
    Good("盘子", "个", "plates", "plate"),
    Good("拼图", "盒", "puzzles", "puzzle"),
    Good("蜡烛", "支", "candles", "candle"),
    Good("枕头", "个", "pillows", "pillow"),
    Good("闹钟", "个", "alarm clocks", "alarm clock"),
    Good("围巾", "条", "scarves", "scarf"),
    Good("花盆", "个", "flowerpots", "flowerpot"),
]
STORED = [
    Good("大米", "袋", "bags of rice", "bag of rice"),
    Good("面粉", "袋", "bags of flour", "bag of flour"),
    Good("苹果", "箱", "boxes of apples", "box of apples"),
    Good("矿泉水", "箱", "cases of water", "case of water"),
    Good("水泥", "袋", "bags of cement", "bag of cement"),
    Good("牛奶", "箱", "cases of milk", "case of milk"),
    Good("瓷砖", "箱", "boxes of tiles", "box of tiles"),
    Good("肥料", "袋", "bags of fertilizer", "bag of fertilizer"),
    Good("鸡蛋", "筐", "baskets of eggs", "basket of eggs"),
    Good("打印纸", "包", "packs of paper", "pack of paper"),
]
COLLECTED = [
    Good("邮票", "张", "stamps", "stamp"),
    Good("贝壳", "枚", "shells", "shell"),
    Good("卡片", "张", "cards", "card"),
    Good("弹珠", "颗", "marbles", "marble"),
    Good("硬币", "枚", "coins", "coin"),
    Good("贴纸", "张", "stickers", "sticker"),
    Good("纸鹤", "只", "paper cranes", "paper crane"),
    Good("书", "本", "books", "book"),
]
MADE = [
    Good("椅子", "把", "chairs", "chair"),
    Good("玩具车", "辆", "toy cars", "toy car"),
    Good("衬衫", "件", "shirts", "shirt"),
    Good("灯泡", "个", "light bulbs", "light bulb"),
    Good("月饼", "个", "mooncakes", "mooncake"),
    Good("陶碗", "个", "clay bowls", "clay bowl"),
    Good("自行车", "辆", "bicycles", "bicycle"),
    Good("风筝", "只", "kites", "kite"),
]
WEEKDAYS = [
    ("周一", "Monday"), ("周二", "Tuesday"), ("周三", "Wednesday"), ("周四", "Thursday"), ("周五", "Friday"),
    ("周六", "Saturday"), ("周日", "Sunday"),
]  # fmt: skip
