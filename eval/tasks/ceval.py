"""C-Eval (Huang et al. 2023): Chinese exams in 52 subjects, five examples from `dev`, the `val` split asked."""

from eval.tasks.exam import Exam, subject_names

HUB = "ceval/ceval-exam"
SHOTS = 5
EXAM = Exam(
    name="C-Eval",
    header=lambda subject: f"以下是中国关于{subject}考试的单项选择题，请选出其中的正确答案。",
    question=lambda text: text,
    answer="答案：",
    split="val",
    names=subject_names("ceval"),
)
