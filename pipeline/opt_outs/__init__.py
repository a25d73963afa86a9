"""How sites say that machines shall not learn from them. signals.py first: what is said; then where: page.py, ..."""
