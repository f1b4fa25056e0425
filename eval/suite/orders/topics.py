"""What the instructions are about, with words that belong to it in both languages, and forms of text to ask for."""

from __future__ import annotations

from typing import NamedTuple


class Topic(NamedTuple):
    """A subject and words that a text about it can hold without effort."""

    zh: str
    en: str
    zh_words: tuple[str, ...]
    en_words: tuple[str, ...]


TOPICS = [
    Topic("社区图书馆", "a public library", ("书架", "安静", "读者", "借阅"), ("shelves", "quiet", "readers", "borrow")),
    Topic("清晨跑步", "running in the morning", ("空气", "节奏", "坚持", "公园"), ("air", "pace", "habit", "park")),
    Topic("节约用水", "saving water", ("水龙头", "习惯", "家庭", "淋浴"), ("tap", "habit", "household", "shower")),
    Topic("养一只猫", "keeping a cat", ("陪伴", "猫粮", "耐心", "健康"), ("company", "food", "patience", "health")),
    Topic("学习一门外语", "learning a foreign language", ("词汇", "发音", "练习", "错误"), ("vocabulary", "pronunciation", "practice", "mistakes")),
    Topic("雨天出行", "travelling in the rain", ("雨伞", "路面", "安全", "时间"), ("umbrella", "road", "safety", "time")),
    Topic("家庭菜园", "a vegetable garden at home", ("土壤", "阳光", "种子", "收获"), ("soil", "sunlight", "seeds", "harvest")),
    Topic("旧衣回收", "recycling old clothes", ("布料", "环保", "捐赠", "分类"), ("fabric", "environment", "donate", "sort")),
    Topic("骑自行车上班", "cycling to work", ("头盔", "锻炼", "道路", "时间"), ("helmet", "exercise", "road", "time")),
    Topic("一家小面馆", "a small noodle shop", ("汤", "老板", "味道", "客人"), ("soup", "owner", "taste", "guests")),
    Topic("如何整理书桌", "tidying a desk", ("抽屉", "文件", "空间", "效率"), ("drawer", "papers", "space", "order")),
    Topic("远程办公", "working from home", ("会议", "时间", "家人", "效率"), ("meetings", "time", "family", "focus")),
    Topic("海边的日落", "a sunset by the sea", ("海浪", "颜色", "天空", "沙滩"), ("waves", "colours", "sky", "beach")),
    Topic("老城区的夜市", "a night market in an old town", ("灯光", "小吃", "摊位", "人群"), ("lights", "snacks", "stalls", "crowd")),
    Topic("第一次坐飞机", "flying for the first time", ("座位", "窗户", "紧张", "机场"), ("seat", "window", "nervous", "airport")),
    Topic("博物馆参观", "a visit to a museum", ("展品", "历史", "讲解", "安静"), ("exhibits", "history", "guide", "quiet")),
    Topic("减少手机使用", "using the phone less", ("屏幕", "时间", "睡眠", "习惯"), ("screen", "time", "sleep", "habit")),
    Topic("做一顿早餐", "making breakfast", ("鸡蛋", "牛奶", "营养", "厨房"), ("eggs", "milk", "bread", "kitchen")),
    Topic("登山准备", "preparing for a mountain hike", ("鞋子", "天气", "地图", "饮水"), ("shoes", "weather", "map", "water")),
    Topic("校园运动会", "a school sports day", ("跑道", "同学", "掌声", "奖牌"), ("track", "classmates", "applause", "medal")),
    Topic("邻里关系", "being a good neighbour", ("尊重", "噪音", "帮助", "问候"), ("respect", "noise", "help", "greeting")),
    Topic("电动汽车", "electric cars", ("电池", "充电", "价格", "环境"), ("battery", "charging", "price", "environment")),
    Topic("乡村小学", "a village school", ("操场", "老师", "黑板", "孩子"), ("playground", "teacher", "board", "children")),
    Topic("冬天的公园", "a park in winter", ("雪", "长椅", "孩子", "树枝"), ("snow", "bench", "children", "branches")),
    Topic("志愿者活动", "volunteering", ("时间", "帮助", "社区", "经验"), ("time", "help", "community", "experience")),
    Topic("网上购物", "shopping online", ("价格", "评价", "快递", "退货"), ("price", "reviews", "delivery", "returns")),
    Topic("睡眠", "getting enough sleep", ("卧室", "光线", "习惯", "健康"), ("bedroom", "light", "habit", "health")),
    Topic("火车旅行", "travelling by train", ("车窗", "车站", "风景", "行李"), ("window", "station", "scenery", "luggage")),
    Topic("学做蛋糕", "learning to bake a cake", ("面粉", "烤箱", "温度", "耐心"), ("flour", "oven", "temperature", "patience")),
    Topic("修理旧家具", "repairing old furniture", ("木头", "工具", "油漆", "耐心"), ("wood", "tools", "paint", "patience")),
    Topic("城市里的鸟", "birds in the city", ("树木", "声音", "羽毛", "窗台"), ("trees", "song", "feathers", "windowsill")),
    Topic("记账", "keeping track of one's money", ("支出", "计划", "收入", "习惯"), ("spending", "plan", "income", "habit")),
    Topic("茶叶", "tea", ("香气", "水温", "茶杯", "产地"), ("aroma", "temperature", "cup", "origin")),
    Topic("地铁", "the underground railway", ("车厢", "站台", "乘客", "速度"), ("carriage", "platform", "passengers", "speed")),
    Topic("搬家", "moving house", ("纸箱", "邻居", "房间", "清单"), ("boxes", "neighbours", "rooms", "list")),
    Topic("学弹吉他", "learning the guitar", ("琴弦", "手指", "练习", "歌曲"), ("strings", "fingers", "practice", "songs")),
    Topic("露营", "camping", ("帐篷", "星空", "篝火", "睡袋"), ("tent", "stars", "campfire", "sleeping bag")),
    Topic("时间管理", "managing one's time", ("计划", "优先", "休息", "目标"), ("plan", "priority", "rest", "goal")),
    Topic("民间剪纸", "the art of paper cutting", ("剪刀", "图案", "红纸", "节日"), ("scissors", "patterns", "paper", "festival")),
    Topic("医院的候诊室", "a hospital waiting room", ("椅子", "护士", "时间", "安静"), ("chairs", "nurse", "time", "quiet")),
]  # fmt: skip

OPENINGS = {
    "zh": ("说到这件事", "坦率地说", "首先要说的是", "很多人觉得", "在我看来", "你好"),
    "en": ("To be honest", "As everyone knows", "In short", "Many people believe", "Let me explain", "Hello"),
}
CLOSINGS = {
    "zh": ("就是这样。", "谢谢阅读。", "值得一试。", "仅供参考。", "祝你顺利。", "完毕。"),
    "en": ("That is all.", "Thank you for reading.", "It is worth a try.", "Good luck.", "The end.", "Any questions?"),
}
THINGS = [
    ("水果", "fruits"), ("蔬菜", "vegetables"), ("交通工具", "vehicles"), ("厨房用具", "kitchen tools"), ("乐器", "musical instruments"),
    ("体育项目", "sports"), ("家具", "pieces of furniture"), ("职业", "professions"), ("文具", "things found on a desk"), ("动物", "animals"),
    ("国家", "countries"), ("饮料", "drinks"), ("花卉", "flowers"), ("学科", "school subjects"), ("颜色", "colours"), ("城市", "cities"),
]  # fmt: skip
SEPARATORS = {
    "zh": (("、", "顿号（、）"), ("；", "分号（；）"), ("|", "竖线（|）"), ("/", "斜杠（/）")),
    "en": (
        (";", "semicolons (;)"),
        ("|", "vertical bars (|)"),
        ("/", "slashes (/)"),
        (" - ", "a hyphen with a space on each side ( - )"),
    ),
}
RECORDS = [
    ("一家餐馆", "a restaurant", ("name", "city", "rating", "dish", "price", "phone")),
    ("一本书", "a book", ("title", "author", "year", "pages", "genre", "language")),
    ("一位学生", "a student", ("name", "age", "grade", "school", "hobby", "email")),
    ("一部电影", "a film", ("title", "director", "year", "minutes", "genre", "country")),
    ("一种动物", "an animal", ("name", "habitat", "weight", "diet", "colour", "lifespan")),
    ("一次旅行", "a journey", ("from", "to", "date", "transport", "hotel", "cost")),
    ("一件商品", "a product", ("id", "brand", "price", "stock", "weight", "material")),
    ("一场会议", "a meeting", ("subject", "date", "room", "host", "minutes", "guests")),
]
