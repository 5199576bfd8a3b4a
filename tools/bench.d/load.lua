-- Makes wrk send requests according to its arguments (name=value) and print its results as one line of
-- JSON.
--
--   method=POST bytes=1024   a body of that many bytes
--   close=1                  a new connection for each request
--   browser=1                the headers of a browser
--   routes=1000              request the path under /r0000, /r0001, … in turn

local options = { method = "GET", bytes = 0, routes = 0 }
local turn, requests = 0, {}

-- The headers Chrome sends to a known site: 19 headers, about 900 bytes with Host.
local BROWSER = {
  ["Cache-Control"] = "max-age=0",
  ["sec-ch-ua"] = '"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"',
  ["sec-ch-ua-mobile"] = "?0",
  ["sec-ch-ua-platform"] = '"Linux"',
  ["Upgrade-Insecure-Requests"] = "1",
  ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    .. "Chrome/142.0.0.0 Safari/537.36",
  ["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
    .. "image/apng,*/*;q=0.8",
  ["Sec-Fetch-Site"] = "same-origin",
  ["Sec-Fetch-Mode"] = "navigate",
  ["Sec-Fetch-User"] = "?1",
  ["Sec-Fetch-Dest"] = "document",
  ["Referer"] = "http://localhost/overview?tab=recent",
  ["Accept-Encoding"] = "gzip, deflate, br, zstd",
  ["Accept-Language"] = "en-GB,en;q=0.9,de;q=0.8",
  ["Cookie"] = "session=6b1f0a3f9d2c4e5b8a7d6c5b4a392817; csrf=YWJjZGVmZ2hpamtsbW5vcA; theme=dark; "
    .. "_ga=GA1.1.1234567890.1700000000; _ga_ABCDEF1234=GS1.1.1700000000.5.1.1700000123.0.0.0",
}

-- wrk calls Lua for every request only if `request` is defined; the rest costs nothing.
local function cycle()
  turn = turn % #requests + 1
  return requests[turn]
end

function init(words)
  for _, word in ipairs(words) do
    local name, value = word:match("^(%w+)=(.*)$")
    if name then options[name] = tonumber(value) or value end
  end
  wrk.method = options.method
  if options.bytes > 0 then wrk.body = string.rep("x", options.bytes) end
  if options.close then wrk.headers["Connection"] = "close" end
  if options.browser then
    for name, value in pairs(BROWSER) do wrk.headers[name] = value end
  end
  if options.routes > 0 then
    for i = 0, options.routes - 1 do
      requests[i + 1] = wrk.format(nil, string.format("/r%04d%s", i, wrk.path))
    end
    request = cycle
  end
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "duration_us": %d, "bytes": %d, "connect": %d, "read": %d, '
      .. '"write": %d, "timeout": %d, "status": %d, "p50_us": %d, "p99_us": %d, "max_us": %d}\n',
    summary.requests, summary.duration, summary.bytes, e.connect, e.read, e.write, e.timeout,
    e.status, latency:percentile(50), latency:percentile(99), latency.max))
end
