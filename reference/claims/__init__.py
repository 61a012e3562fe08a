"""Every numbered claim of the paper, each with a residual, in the paper's order."""

from reference.claims import algorithms
from reference.claims.appendices import c, c_lemma4, d, d_stein, d_terms, e_f, g, g_minimum, h, h_network
from reference.claims.registry import entered_by
from reference.claims.section2 import bilevel, hypernetworks
from reference.claims.section3 import centred, conditioning, dynamics, kronecker, linearised, structured, unperturbed

SECTIONS = (
    *(bilevel, hypernetworks),
    *(centred, kronecker, conditioning, dynamics, unperturbed, linearised, structured, algorithms),
)
APPENDICES = (c, c_lemma4, d, d_stein, d_terms, e_f, g, g_minimum, h, h_network)
PARTS = (*SECTIONS, *APPENDICES)

CLAIMS = entered_by(PARTS)
