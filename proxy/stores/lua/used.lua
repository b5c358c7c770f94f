-- ARGV: nine for each line. Gives: time, what is used on each.
local now = time()
local found = {}
for position, line in ipairs(read_lines(1)) do
  if line.kind == 'rate' then
    found[position] = whole(gone(line.key, line.refill, now))
  else
    found[position] = written(standing(line))
  end
end
return { string.format('%.6f', now), found }
