"""Uploads: a page and an API that take captures, keep a queue, and show what each of them and all of them say.

What is heavy here (Starlette, uvicorn, Jinja) is loaded by ``mailscope serve`` and by nothing else.
"""
