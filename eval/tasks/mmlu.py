"""MMLU (Hendrycks et al. 2021): English exams in 57 subjects, five examples from `dev`."""

from eval.tasks.exam import Exam

HUB = "cais/mmlu"
SHOTS = 5
EXAM = Exam(
    name="MMLU",
    header=lambda subject: f"The following are multiple choice questions (with answers) about {subject}.",
    question=lambda text: text,
    answer="Answer:",
    before_letter=" ",
    split="test",
    names={},
)
