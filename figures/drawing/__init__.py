"""How pictures look: the style, curves, panels, and the kinds of figure that several numbers share."""
