"""Mixed text for comparisons of logits: English, Chinese, code, numbers."""

MIXED = (
    "The history of Rome begins with a small village on the Tiber; by 117 it ruled the sea around it. "
    "机器学习是人工智能的一个分支，它研究如何让计算机从数据中学习，而不是由人写下每一条规则。\n"
    "def fibonacci(n: int) -> int:\n    if n < 2:\n        return n\n"
    "    return fibonacci(n - 1) + fibonacci(n - 2)\n\n"
    "1, 1, 2, 3, 5, 8, 13, 21, 34, 55 — and so on. “Quoi ?”, demanda-t-elle; 東京は日本の首都です。\n"
)
