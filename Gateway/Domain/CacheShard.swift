/// A part of the cache: what is kept, who fetches, and who waits for whom. For one thread at a time; decides, and does nothing.
struct CacheShard<Waiter> {
    /// Somebody asks the service, and others wait for that answer.
    struct Lead {
        let id: UInt64
        let group: CacheGroup
        let path: CachePath
        /// Purged while it was being fetched: what comes may already be wrong.
        var isTainted = false
        var waiters: [Waiter] = []
    }

    /// One who asks.
    struct Asking {
        let resource: CacheKey
        let group: CacheGroup
        let path: CachePath
        let question: CacheQuestion
        let scope: CacheScope
        let now: UInt64
    }

    /// The right, and the duty, to fetch an answer.
    struct Leading {
        let id: UInt64
        /// Under which others wait.
        let key: CacheKey
        /// What is known to set that key apart from the resource's.
        let variation: CacheVariation
        /// What is kept and too old.
        let stale: StoredAnswer?
        let reason: CacheStatus.Forward
    }

    enum Found {
        case hit(StoredAnswer)
        /// Old, but good enough while it is fetched anew.
        case stale(StoredAnswer, Leading)
        case lead(Leading)
        /// Somebody else fetches it.
        case wait(CacheKey)
        case pass(CacheStatus.Forward)
        case absent
    }

    /// Those who may wait for one answer; the others go by themselves.
    static var mostWaiters: Int { 1_024 }

    var store: CacheStore
    private(set) var leads: [CacheKey: Lead] = [:]
    private var lastID: UInt64 = 0

    init(capacity: Int) { store = CacheStore(capacity: capacity) }

    mutating func find(_ asking: Asking, mayWait: Bool) -> Found {
        var key = asking.resource
        var reason = CacheStatus.Forward.missing
        var variation = CacheVariation()
        var kept: StoredAnswer?
        switch store.find(key) {
        case .answer(let answer): kept = answer
        case .pass(let until):
            if asking.now < until { return asking.question.control.flags.contains(.onlyIfCached) ? .absent : .pass(.bypass) }
            store.remove(key)
        case .variation(let known):
            variation = known
            key = CacheKey(key, variation, of: asking.question, scope: asking.scope)
            if case .answer(let answer) = store.find(key) { kept = answer } else { reason = .varies }
        case nil: break
        }
        let control = asking.question.control
        if let answer = kept {
            if asking.question.mustRevalidate {
                reason = .request
            } else if answer.isFresh(asking.now, control) {
                return .hit(answer)
            } else {
                reason = .stale
                if answer.mayBeUsedWhileRevalidating(asking.now, control) {
                    if leads[key] != nil || asking.question.isHead { return .hit(answer) }
                    return .stale(answer, lead(key, variation, asking, answer, reason))
                }
                if !answer.isWorthKeeping(asking.now) {
                    store.remove(key)
                    kept = nil
                }
            }
        } else if asking.question.mustRevalidate {
            reason = .request
        }
        if control.flags.contains(.onlyIfCached) { return .absent }
        // The answer to a HEAD has no body that others could be given.
        if asking.question.isHead { return .pass(reason) }
        guard let waiting = leads[key] else { return .lead(lead(key, variation, asking, kept, reason)) }
        // An answer that was asked for before this request came is none to a request that wants a new one.
        guard mayWait, !asking.question.mustRevalidate, waiting.waiters.count < Self.mostWaiters else { return .pass(reason) }
        return .wait(key)
    }

    private mutating func lead(
        _ key: CacheKey, _ variation: CacheVariation, _ asking: Asking, _ stale: StoredAnswer?, _ reason: CacheStatus.Forward
    ) -> Leading {
        lastID += 1
        leads[key] = Lead(id: lastID, group: asking.group, path: asking.path)
        return Leading(id: lastID, key: key, variation: variation, stale: stale, reason: reason)
    }

    mutating func wait(for key: CacheKey, _ waiter: Waiter) { leads[key]?.waiters.append(waiter) }

    func isTainted(_ leading: Leading) -> Bool {
        guard let lead = leads[leading.key], lead.id == leading.id else { return true }
        return lead.isTainted
    }

    /// The lead is over, whatever came of it. Answers who waited.
    mutating func end(_ leading: Leading) -> [Waiter] {
        guard let lead = leads[leading.key], lead.id == leading.id else { return [] }
        leads[leading.key] = nil
        return lead.waiters
    }

    /// The one who led has gone: the first of those who wait leads instead.
    mutating func promote(_ leading: Leading) -> (waiter: Waiter, Leading)? {
        guard var lead = leads[leading.key], lead.id == leading.id else { return nil }
        guard !lead.waiters.isEmpty else {
            leads[leading.key] = nil
            return nil
        }
        let first = lead.waiters.removeFirst()
        lastID += 1
        var next = Lead(id: lastID, group: lead.group, path: lead.path)
        next.waiters = lead.waiters
        leads[leading.key] = next
        return (
            first,
            Leading(id: lastID, key: leading.key, variation: leading.variation, stale: leading.stale, reason: leading.reason)
        )
    }

    /// Keeps an answer, and what it varies by.
    mutating func keep(_ answer: StoredAnswer, _ variation: CacheVariation, for asking: Asking) {
        var key = asking.resource
        if !variation.isPlain {
            store.insert(.variation(variation), as: key, cost: CacheStore.markCost, group: asking.group, path: asking.path)
            key = CacheKey(key, variation, of: asking.question, scope: asking.scope)
        }
        store.insert(.answer(answer), as: key, cost: answer.cost, group: asking.group, path: asking.path)
    }

    mutating func pass(until: UInt64, for asking: Asking) {
        store.insert(.pass(until: until), as: asking.resource, cost: CacheStore.markCost, group: asking.group, path: asking.path)
    }

    // MARK: Purging

    mutating func purge(_ group: CacheGroup, path: CachePath? = nil) -> Int {
        taint { $0.group == group && (path == nil || $0.path == path) }
        return store.purge(group, path: path)
    }

    mutating func purge(tenant: String) -> Int {
        taint { $0.group.tenant == tenant }
        return store.purge(tenant: tenant)
    }

    mutating func purgeAll() -> Int {
        taint { _ in true }
        let count = store.count
        store.removeAll()
        return count
    }

    private mutating func taint(_ isMeant: (Lead) -> Bool) {
        for (key, lead) in leads where isMeant(lead) { leads[key]?.isTainted = true }
    }
}
