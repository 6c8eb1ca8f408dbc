"""Several servers that are one to their users: replicas, Sentinel, Cluster.

* `slots`: which slot a key lies in.
* `nodes`, `shape`: the servers that are known, and what each is for.
* `replicated`, `sentinel`, `cluster`: how the shape is found out.
* `watch`: the thread that finds it out, so that no request has to.
* `splitting`, `scanning`, `pieces`, `routing`: from a command to servers, and what
  follows from what they answer; sans-IO, written once for both colours.
* `blocking`, `awaiting`: the two drivers; `link` holds all of it together.
"""
