"""CMMLU (Li et al. 2023): Chinese exams in 67 subjects, five examples from `dev`, the mean over the subjects."""

from eval.tasks.exam import Exam, subject_names

HUB = "haonan-li/cmmlu"
SHOTS = 5
EXAM = Exam(
    name="CMMLU",
    header=lambda subject: f"以下是关于{subject}的单项选择题，请直接给出正确答案的选项。",
    question=lambda text: f"题目：{text}",
    answer="答案是：",
    split="test",
    names=subject_names("cmmlu"),
)
