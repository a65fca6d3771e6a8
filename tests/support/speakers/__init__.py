"""Every dialect spoken by hand, from its specification: as a client, and as a server.

They know nothing of the gateway's own codecs, so what both of its sides got wrong in the same way
shows here.
"""
