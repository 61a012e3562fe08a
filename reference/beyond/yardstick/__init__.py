"""A yardstick for hypergradients: anybody's code held to exact answers, with the likeliest cause of what is wrong.

measure(function)    a Report: passes, cause, results, text()
cases()              the problems, with the λ that each is asked about
"""

from reference.beyond.yardstick.cases import cases as cases
from reference.beyond.yardstick.report import Report as Report
from reference.beyond.yardstick.report import measure as measure
