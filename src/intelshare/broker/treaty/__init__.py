"""The world by which pairs are decided changes: treaty acts and policy files.

act           a member acts as a party of a treaty: the worlds of both ends follow
act_record    an act as a value, as a row, and as it is signed
policy_files  the files by which this member decides were read again
"""
