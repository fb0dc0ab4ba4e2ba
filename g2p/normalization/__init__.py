"""Written text to spoken text: 5月1日-7日 is said as 五月一日到七日, each character tied to what was written.

Begin with the tables of rules, in order and with examples: `expressions` (Mandarin) and `english_expressions`.
`wording` puts a kind into words, `normalize` applies the rules.

May know: `numbers`, `units` and Mandarin syllables; nothing of readings.
"""
