"""The bilevel problem (section 2): L_T and its network, L_V, r(λ), λ*, and the maps of appendix F that bound λ."""
