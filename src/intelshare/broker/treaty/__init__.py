"""Changes of the world by which pairs are decided: treaty acts and policy files.

act           a member acts as a party to a treaty: the worlds of both ends follow
act_record    an act as a value, as a row, and as it is signed
policy_files  the files by which this member decides were read again
"""
