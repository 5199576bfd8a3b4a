-- For wrk: a small upload with every request.
wrk.method = "POST"
wrk.body = string.rep("x", 1000)
