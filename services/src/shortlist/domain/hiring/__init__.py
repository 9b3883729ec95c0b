"""The rules of hiring: places, the line for them, deadlines, and the audit that tells it all.

Read in this order: `placement` and `opening` (what there is), `ordering` (who is next), `deadlines`
(until when), `audit` (what is written down), `draft` (how an act becomes events), `settling` (what
time has caused), `acts` and `company_acts` (what people and companies do), `replay` (events become
tables again), `reasons` (why). Storage reads what a decision asks for and writes what it returns.
"""
