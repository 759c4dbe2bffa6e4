"""What every server of the workspace shares: who may ask, how much, how fast, and how it ends.

    config = ServerConfig(port=8000, keys=Path("api-keys.json"))
    serve(app, config)                        # any ASGI application: Starlette, FastAPI, a plain function

A request passes four layers, a file each:
    connections   the socket: slow clients, broken HTTP, too many of them
    gate          the request: host, key, rate, size, how many at once; ids, log line, metrics, errors as JSON
    app           the application, which only ever sees whole and admitted requests
    streams       the answer, when it comes in pieces and the client may leave in the middle

HTTP itself is a solved problem with a long history of holes (request smuggling, half-parsed chunks), so
parsing, the event loop's sockets and routing are uvicorn's, h11's and Starlette's: small, well kept, and
what FastAPI is built on. The standard library's `http.server` calls itself unfit for production, and
asyncio alone has no HTTP. What those libraries leave open is here: uvicorn has no deadline for a head or a
reader that dribble, no limit on bodies, and answers in plain text.
"""
