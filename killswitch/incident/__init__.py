"""One kill as a whole, afterwards and while it runs: its figures, its timeline, the call sheet, the incident pack.

Changes nothing but one thing: taking a pack is an entry of the audit trail.
"""
