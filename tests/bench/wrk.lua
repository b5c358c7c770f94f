-- Posts the body in the file given as the first argument, with the headers in the second, and ends with one line
-- of JSON. Latencies are in microseconds, as wrk keeps them.

function init(args)
  wrk.method = "POST"
  local body = io.open(args[1], "rb")
  wrk.body = body:read("*a")
  body:close()
  for line in io.lines(args[2]) do
    local name, value = line:match("^(.-): (.*)$")
    wrk.headers[name] = value
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"duration_us":%d,"errors":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
