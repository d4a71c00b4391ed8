import Contracts
import Testing

@testable import Messaging

/// Whose turn it is, decided without a database or a broker.
@Suite("The relay's schedule")
struct RelayScheduleTests {
    private let now = ContinuousClock.now

    private func schedule(_ change: (inout RelaySchedule.Limits) -> Void = { _ in }) -> RelaySchedule {
        var limits = RelaySchedule.Limits()
        limits.events = 100
        change(&limits)
        var schedule = RelaySchedule(limits)
        schedule.keep(Set(0..<16))
        return schedule
    }

    private func next(_ schedule: inout RelaySchedule, at time: ContinuousClock.Instant? = nil) throws -> RelaySchedule.Chunk {
        let chunk = schedule.pick(time ?? now)
        return try #require(chunk)
    }

    private func done(_ chunk: RelaySchedule.Chunk, more: Bool) -> [RelaySchedule.Ending] {
        chunk.takes.map { RelaySchedule.Ending(next: more ? $0.from + Int64($0.most) : nil, failed: false) }
    }

    @Test("A lane is in one chunk at a time, so that the order of its keys is kept")
    func oneChunkALane() throws {
        var schedule = schedule()
        let tenant = TenantID.make()
        for shard in Int32(0)..<16 { schedule.found(Lane(tenant: tenant, shard: shard, again: false), 1) }
        var taken: [Lane] = []
        while let chunk = schedule.pick(now) { taken += chunk.takes.map(\.lane) }
        #expect(Set(taken).count == taken.count)
        #expect(taken.count == 16)
    }

    @Test("What is found in a lane under way is read after it, from the lowest position found")
    func foundUnderWay() throws {
        var schedule = schedule()
        let lane = Lane(tenant: .make(), shard: 3, again: false)
        schedule.found(lane, 10)
        let first = try next(&schedule)
        schedule.found(lane, 30)
        // Committed later, numbered earlier.
        schedule.found(lane, 7)
        #expect(schedule.pick(now) == nil)
        schedule.finish(first, done(first, more: false), published: 1, now)
        let second = try next(&schedule)
        #expect(second.takes.map(\.from) == [7])
        schedule.finish(second, done(second, more: false), published: 2, now)
        #expect(schedule.isQuiet && schedule.count == 0, "it remembers nothing that does not wait")
    }

    @Test("A tenant that comes goes ahead of a flood, and the flood goes on every other time")
    func newcomersFirst() throws {
        var schedule = schedule()
        let flood = TenantID.make()
        for shard in Int32(0)..<16 { schedule.found(Lane(tenant: flood, shard: shard, again: false), 1) }
        let first = try next(&schedule)
        schedule.finish(first, done(first, more: true), published: 100, now)
        var kinds: [RelaySchedule.Chunk.Kind] = []
        for _ in 0..<6 {
            schedule.found(Lane(tenant: .make(), shard: 1, again: false), 1)
            let chunk = try next(&schedule)
            kinds.append(chunk.kind)
            schedule.finish(chunk, done(chunk, more: chunk.kind == .backlog), published: 1, now)
        }
        #expect(kinds.count { $0 == .newcomers } == 3 && kinds.count { $0 == .backlog } == 3, "\(kinds)")
    }

    @Test("However much waits, a chunk is left for a tenant that comes")
    func roomForNewcomers() throws {
        var schedule = schedule()
        let flood = TenantID.make()
        for shard in Int32(0)..<16 { schedule.found(Lane(tenant: flood, shard: shard, again: false), 1) }
        let first = try next(&schedule)
        schedule.finish(first, done(first, more: true), published: 100, now)
        var underWay = 0
        while schedule.pick(now) != nil { underWay += 1 }
        #expect(underWay == 3)
        schedule.found(Lane(tenant: .make(), shard: 0, again: false), 1)
        #expect(schedule.pick(now)?.kind == .newcomers)
        #expect(schedule.pick(now) == nil)
    }

    @Test("While tenants come beside a flood it goes in smaller chunks, and a while after in full ones again")
    func smallerWhileOthersCome() throws {
        var schedule = schedule {
            $0.events = 512
            $0.mixedEvents = 64
        }
        let flood = TenantID.make()
        for shard in Int32(0)..<16 { schedule.found(Lane(tenant: flood, shard: shard, again: false), 1) }
        let first = try next(&schedule)
        schedule.finish(first, done(first, more: true), published: 512, now)
        func size(_ time: ContinuousClock.Instant) throws -> Int {
            let chunk = try next(&schedule, at: time)
            #expect(chunk.kind == .backlog)
            schedule.finish(chunk, done(chunk, more: true), published: 1, time)
            return chunk.takes.map(\.most).reduce(0, +)
        }
        #expect(try size(now) > 400)
        schedule.found(Lane(tenant: .make(), shard: 1, again: false), 1)
        let other = try next(&schedule)
        #expect(other.kind == .newcomers)
        schedule.finish(other, done(other, more: false), published: 1, now)
        #expect(try size(now) <= 64)
        #expect(try size(now + .seconds(2)) > 400)
    }

    @Test("Tenants with more than a chunk get equal parts in turn", arguments: [2, 5, 50])
    func equalParts(tenants: Int) throws {
        var schedule = schedule()
        let all = (0..<tenants).map { _ in TenantID.make() }
        for tenant in all {
            for shard in Int32(0)..<16 { schedule.found(Lane(tenant: tenant, shard: shard, again: false), 1) }
        }
        var events: [TenantID: Int] = [:]
        for _ in 0..<200 {
            let chunk = try next(&schedule)
            for take in chunk.takes { events[take.lane.tenant, default: 0] += take.most }
            schedule.finish(chunk, done(chunk, more: true), published: 100, now)
        }
        let (least, most) = (events.values.min() ?? 0, events.values.max() ?? 0)
        #expect(events.count == tenants && Double(most) <= Double(least) * 1.5, "\(least) to \(most)")
    }

    @Test("What failed rests for a while, and other lanes go on")
    func failures() throws {
        var schedule = schedule()
        let (bad, good) = (Lane(tenant: .make(), shard: 0, again: false), Lane(tenant: .make(), shard: 0, again: false))
        schedule.found(bad, 5)
        let chunk = try next(&schedule)
        schedule.finish(chunk, [RelaySchedule.Ending(next: 5, failed: true)], published: 0, now)
        #expect(schedule.pick(now) == nil)
        schedule.found(good, 1)
        #expect(schedule.pick(now)?.takes.map(\.lane) == [good])
        let rest = try #require(schedule.nextRest(now))
        #expect(rest > now && rest <= now + .milliseconds(100))
        let retried = try next(&schedule, at: rest)
        #expect(retried.takes.map(\.from) == [5] && retried.takes.map(\.isCareful) == [true])
    }

    @Test("What is published again waits for what is new, goes one chunk at a time and not faster than its limit")
    func again() throws {
        var schedule = schedule { $0.againRate = 1_000 }
        let tenant = TenantID.make()
        let (old, fresh) = (Lane(tenant: tenant, shard: 2, again: true), Lane(tenant: .make(), shard: 2, again: false))
        schedule.found(old, 1)
        schedule.found(fresh, 1)
        let first = try next(&schedule)
        #expect(first.takes.map(\.lane) == [fresh])
        let second = try next(&schedule)
        #expect(second.takes.map(\.lane) == [old])
        schedule.finish(second, done(second, more: true), published: 100, now)
        #expect(schedule.pick(now) == nil, "100 at 1,000 a second are a tenth of a second")
        #expect(schedule.nextRest(now) == now + .milliseconds(100))
        #expect(schedule.pick(now + .milliseconds(100))?.kind == .again)
    }

    @Test("Under a load that never ends, what is published again has its turn all the same")
    func againUnderLoad() throws {
        var schedule = schedule()
        let old = Lane(tenant: .make(), shard: 2, again: true)
        schedule.found(old, 1)
        var kinds: [RelaySchedule.Chunk.Kind] = []
        for step in 0..<100 {
            let moment = now + .milliseconds(10 * step)
            schedule.found(Lane(tenant: .make(), shard: 3, again: false), Int64(step + 2))
            let picked = schedule.pick(moment)
            let chunk = try #require(picked)
            kinds.append(chunk.kind)
            schedule.finish(chunk, done(chunk, more: chunk.kind == .again), published: 100, moment)
        }
        // A second, at 200 milliseconds of patience each.
        #expect((3...5).contains(kinds.count { $0 == .again }), "\(kinds.count { $0 == .again })")
    }

    @Test("New events of a lane that is published again are read from the same place until that has ended")
    func behindAgain() throws {
        var schedule = schedule()
        let tenant = TenantID.make()
        let (old, fresh) = (Lane(tenant: tenant, shard: 2, again: true), Lane(tenant: tenant, shard: 2, again: false))
        schedule.found(old, 1)
        schedule.found(fresh, 9)
        let live = try next(&schedule)
        #expect(live.takes == [RelaySchedule.Take(lane: fresh, from: 9, most: 100, isBehindAgain: true)])
        // Read to its end, but some of it may have been held back.
        schedule.finish(live, done(live, more: false), published: 0, now)
        let again = try next(&schedule)
        #expect(again.takes.map(\.lane) == [old])
        #expect(schedule.pick(now) == nil)
        schedule.finish(again, done(again, more: false), published: 5, now)
        #expect(schedule.pick(now)?.takes == [RelaySchedule.Take(lane: fresh, from: 9, most: 100, isBehindAgain: false)])
    }

    @Test("While a lane is published again, a new event in it is read from its own place and not from the first that is blocked")
    func blockedIsNotWalkedAgain() throws {
        var schedule = schedule()
        let tenant = TenantID.make()
        let (old, fresh) = (Lane(tenant: tenant, shard: 2, again: true), Lane(tenant: tenant, shard: 2, again: false))
        schedule.found(old, 1)
        schedule.found(fresh, 9)
        let first = try next(&schedule)
        schedule.finish(first, done(first, more: false), published: 0, now)
        let again = try next(&schedule)
        #expect(again.takes.map(\.lane) == [old])
        for position in [Int64(50), 60] {
            schedule.found(fresh, position)
            let more = try next(&schedule)
            #expect(more.takes.map(\.from) == [position])
            #expect(more.takes.map(\.heldFrom) == [9], "keys that were held back stay so")
            schedule.finish(more, done(more, more: false), published: 1, now)
            // The periodic look finds the blocked one: nothing new.
            schedule.found(fresh, 9, isNet: true)
            #expect(schedule.pick(now) == nil)
        }
        schedule.finish(again, done(again, more: false), published: 5, now)
        #expect(schedule.pick(now)?.takes.map(\.from) == [9])
    }

    @Test("Shards given up are forgotten, those under way when they have ended")
    func shards() throws {
        var schedule = schedule()
        let (a, b) = (Lane(tenant: .make(), shard: 1, again: false), Lane(tenant: .make(), shard: 2, again: false))
        schedule.found(a, 1)
        let chunk = try next(&schedule)
        schedule.found(b, 1)
        schedule.keep([3])
        #expect(schedule.isOut(1) && !schedule.isOut(2))
        #expect(schedule.pick(now) == nil)
        schedule.finish(chunk, done(chunk, more: true), published: 1, now)
        #expect(schedule.count == 0 && schedule.isQuiet)
        schedule.found(b, 1)
        #expect(schedule.pick(now) == nil, "another relay's")
    }

    @Test("The text of a snapshot is read, with and without transactions under way")
    func snapshots() {
        #expect(OutboxSnapshot("10:20:10,14") == OutboxSnapshot("7:20:10,14"))
        #expect(OutboxSnapshot("10:20:10,14")?.unfinished == [10, 14])
        #expect(OutboxSnapshot("20:20:")?.next == 20)
        #expect(OutboxSnapshot("20:20:")?.unfinished == [])
        #expect(OutboxSnapshot("20") == nil)
    }
}
