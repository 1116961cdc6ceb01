"""Sessions to findings: rules testify, the engine judges."""

from analyzer.rules.engine import judge
from analyzer.rules.finding import CLAIMS, Candidate, Evidence, Finding, FrameRef, Subject, Verdict
from analyzer.rules.habit import Habit, load_habits, warn
from analyzer.rules.rule import Rule, load_rules, page_of
from analyzer.rules.scene import Known, Scene

__all__ = [
    "CLAIMS",
    "Candidate",
    "Evidence",
    "Finding",
    "FrameRef",
    "Habit",
    "Known",
    "Rule",
    "Scene",
    "Subject",
    "Verdict",
    "judge",
    "load_habits",
    "load_rules",
    "page_of",
    "warn",
]
