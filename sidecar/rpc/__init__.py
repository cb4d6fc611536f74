"""The control door: one file a service, over grpc.aio; the stubs are all it knows of `perdure`.

A servicer validates, calls a use case and translates the answer. No rule of the domain lives here.
"""
