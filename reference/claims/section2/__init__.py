"""Section 2: the bilevel problem (2.1) and hypernetworks (2.2)."""
