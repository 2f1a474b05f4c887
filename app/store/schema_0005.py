"""SQL of the fifth step of the log: what browsing, the dashboard and similar cases need."""

CASES = """
"""
