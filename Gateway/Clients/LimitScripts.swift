import Redis

/// The buckets in Redis. One key holds one bucket: `full blocked end length end length …`, all in microseconds: when it will be full
/// again, until when its subject is blocked (0: not), and stretches before `full` that were given back.
///
/// The line of slots before `full` is given out; a bucket of `window` microseconds takes no slot that ends later than `window` from now.
/// `LeaseMachine` says why that is exact. A clock that was set back is seen in a `full` further away than a window, which cannot be.
enum LimitScripts {
    /// Where subjects are named whose block begins: `<milliseconds>:<key>`.
    static let blockedChannel = "trionex:limit:blocked"
    /// Stretches that one bucket remembers; beyond these the shortest is forgotten, and its units with it.
    static let largestFree = 8
    /// Microseconds. A bucket that is used up is shared out in parts no smaller than what comes anew in this time.
    static let smallestShare = 50_000

    private static let read = """
        local clock = redis.call('TIME')
        local now = clock[1] * 1000000 + clock[2]
        local function read(key, window)
          local held, numbers = redis.call('GET', key), {}
          if held then for word in string.gmatch(held, '%S+') do numbers[#numbers + 1] = tonumber(word) end end
          local bucket = {full = math.max(numbers[1] or 0, now), blocked = numbers[2] or 0, free = {}, known = held}
          if bucket.full > now + window + 1 then bucket.full = now + window; numbers = {} end
          for i = 3, #numbers - 1, 2 do
            local length = math.min(numbers[i + 1], numbers[i] - now)
            if length > 0 then table.insert(bucket.free, {numbers[i], length}) end
          end
          return bucket
        end
        local function write(key, bucket)
          local last = math.max(bucket.full, bucket.blocked)
          if last <= now then redis.call('DEL', key) return end
          local words = {string.format('%.3f %.3f', bucket.full, bucket.blocked)}
          for _, free in ipairs(bucket.free) do words[#words + 1] = string.format('%.3f %.3f', free[1], free[2]) end
          redis.call('SET', key, table.concat(words, ' '), 'PX', math.ceil((last - now) / 1000) + 1)
        end

        """

    /// KEYS: a bucket. ARGV: interval, window, units needed, units wanted beside, block, the channel of blocks.
    /// Answers units granted, units leased, time to the lease's end, the lease's end, units left, time until full, wait, block.
    ///
    /// What is needed is granted as far as there is any; a lease is of one stretch and at most a quarter of what is left,
    /// or what comes anew in `smallestShare`.
    static let lease = RedisScript(
        read + """
            local interval, window, need, want, block = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
            local bucket = read(KEYS[1], window)
            if bucket.blocked > now + block then bucket.blocked = now + block end
            local function answer(granted, leased, last, left, wait)
              return {granted, leased, string.format('%.3f', last - now), string.format('%.3f', last), left,
                string.format('%.3f', bucket.full - now), string.format('%.3f', wait), string.format('%.3f', math.max(0, bucket.blocked - now))}
            end
            if bucket.blocked > now then return answer(0, 0, now, 0, bucket.blocked - now) end
            local function units(length) return math.floor((length + 0.5) / interval) end
            local function room() return math.max(0, units(now + window - bucket.full)) end
            table.sort(bucket.free, function(a, b) return a[1] < b[1] end)
            local granted = 0
            for _, free in ipairs(bucket.free) do
              local taken = math.min(need - granted, units(free[2]))
              free[2] = free[2] - taken * interval
              granted = granted + taken
            end
            local top = math.min(need - granted, room())
            bucket.full = bucket.full + top * interval
            granted = granted + top
            local left = room()
            for _, free in ipairs(bucket.free) do left = left + units(free[2]) end
            local leased, last = math.min(want, left, math.max(math.floor(left / 4), math.floor(\(smallestShare) / interval))), now
            if granted < need then leased = 0 end
            if leased > 0 then
              local stretch = nil
              for _, free in ipairs(bucket.free) do if not stretch and units(free[2]) > 0 then stretch = free end end
              if stretch then
                leased = math.min(leased, units(stretch[2]))
                last = stretch[1] - stretch[2] + leased * interval
                stretch[2] = stretch[2] - leased * interval
              else
                leased = math.min(leased, room())
                bucket.full = bucket.full + leased * interval
                last = bucket.full
              end
              left = left - leased
            end
            local wait = 0
            if granted < need then
              wait = math.max(0, bucket.full + interval - window - now)
              if block > 0 then
                bucket.blocked = now + block
                wait = block
                redis.call('PUBLISH', ARGV[6], string.format('%.0f:', block / 1000) .. KEYS[1])
              end
            end
            if granted + leased > 0 or wait > 0 then
              local free = {}
              for _, stretch in ipairs(bucket.free) do if stretch[2] > 0.5 then free[#free + 1] = stretch end end
              bucket.free = free
              write(KEYS[1], bucket)
            end
            return answer(granted, leased, last, left, wait)
            """)

    /// KEYS: buckets. ARGV, for each: window, end and length of a stretch that was not used; an end of 0 is that of the bucket.
    static let giveBack = RedisScript(
        read + """
            for i, key in ipairs(KEYS) do
              local window, last, length = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
              local bucket = read(key, window)
              if last == 0 then last = bucket.full end
              length = math.min(length, last - now)
              if bucket.known and length > 0 and last <= bucket.full + 0.5 then
                table.insert(bucket.free, {last, length})
                table.sort(bucket.free, function(a, b) return a[1] > b[1] end)
                while bucket.free[1] and bucket.free[1][1] >= bucket.full - 0.5 do
                  bucket.full = bucket.full - table.remove(bucket.free, 1)[2]
                end
                if #bucket.free > \(largestFree) then
                  local shortest = 1
                  for j, free in ipairs(bucket.free) do if free[2] < bucket.free[shortest][2] then shortest = j end end
                  table.remove(bucket.free, shortest)
                end
                write(key, bucket)
              end
            end
            return 1
            """)

    /// KEYS: buckets. ARGV, for each: window, what Redis had when it was last heard of, what was used since, block.
    static let tell = RedisScript(
        read + """
            for i, key in ipairs(KEYS) do
              local window, floor, used, block = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2]), tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i])
              local bucket = read(key, window)
              if not bucket.known then bucket.full = now + floor end
              bucket.full = math.min(bucket.full + used, now + window)
              if block > 0 then bucket.blocked = math.max(bucket.blocked, now + block) end
              write(key, bucket)
            end
            return 1
            """)
}
