"""SQL of the fourth step of the log: probes."""

PROBES = """
"""
