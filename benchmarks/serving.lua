-- wrk's requests: the lines of the file that LINES names, in their order, over and over. A line is METHOD PATH BODY;
-- sixteen # in it become a number that no other request has, begun by RUN.
local place, n = 0, 0
local lines, requests = {}, {}
local headers = {["content-type"] = "application/json"}

function init()
  local key = os.getenv("API_KEY")
  if key then headers["x-api-key"] = key end
  for line in io.lines(os.getenv("LINES")) do
    local method, path, body = line:match("^(%S+) (%S+) ?(.*)$")
    requests[#requests + 1] = wrk.format(method, path, headers, body ~= "" and body or nil)
  end
  numbered = requests[1]:find("################", 1, true) ~= nil
end

function request()
  place = place % #requests + 1
  if not numbered then return requests[place] end
  n = n + 1
  return (requests[place]:gsub("################", string.format("%s%010d", os.getenv("RUN"), n)))
end
