"""Every numbered claim of the paper, each with a residual: one module for each section and appendix."""

from reference.claims import (
    algorithms,
    appendix_c,
    appendix_c_lemma4,
    appendix_d,
    appendix_d_stein,
    appendix_d_terms,
    appendix_ef,
    appendix_g,
    appendix_g_minimum,
    appendix_h,
    appendix_h_network,
    beyond_control_variate,
    beyond_estimators,
    beyond_masks,
    beyond_rest,
    beyond_yardstick,
    section2_1,
    section2_2,
    section3_1,
    section3_1_conditioning,
    section3_1_dynamics,
    section3_2,
    section3_3,
)
from reference.claims.registry import ENTERED

PARTS = (
    section2_1,
    section2_2,
    section3_1,
    section3_1_conditioning,
    section3_1_dynamics,
    section3_2,
    section3_3,
    algorithms,
    appendix_c,
    appendix_c_lemma4,
    appendix_d,
    appendix_d_stein,
    appendix_d_terms,
    appendix_ef,
    appendix_g,
    appendix_g_minimum,
    appendix_h,
    appendix_h_network,
    beyond_control_variate,
    beyond_rest,
    beyond_masks,
    beyond_estimators,
    beyond_yardstick,
)
"""In the paper's order; then what is beyond it."""

CLAIMS = tuple(claim for part in PARTS for claim in ENTERED if claim.residual.__module__ == part.__name__)
