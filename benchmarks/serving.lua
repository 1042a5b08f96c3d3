-- wrk's requests: the bodies of the file that BODIES names, one a line, in their order, over and over.
local requests, place = {}, 0

function init()
  for body in io.lines(os.getenv("BODIES")) do
    requests[#requests + 1] = wrk.format("POST", os.getenv("TARGET_PATH"), {["content-type"] = "application/json"}, body)
  end
end

function request()
  place = place % #requests + 1
  return requests[place]
end
