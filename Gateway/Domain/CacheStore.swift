/// Kept answers in memory, bounded in bytes, and who fetches what just now. For one thread at a time.
///
/// What goes first is chosen by SIEVE (Zhang et al., NSDI 2024): a hand goes from the oldest to the newest and takes away what was not
/// asked for since it last came by. A hit only sets a mark, and one pass of a crawler over many paths pushes nothing popular out.
struct CacheStore {
    enum Item: Sendable {
        case answer(StoredAnswer)
        /// Answers to this path depend on more than the path.
        case variation(CacheVariation)
        /// The service does not allow its answers to be kept: until then nobody waits for another's.
        case pass(until: UInt64)
    }

    /// What an item costs that is no answer.
    static let markCost = 384

    private struct Node {
        var key: CacheKey
        var item: Item
        var cost: Int
        var group: CacheGroup
        var path: CachePath
        var isVisited = false
        var newer = -1
        var older = -1
        var nextOfGroup = -1
        var previousOfGroup = -1
    }

    let capacity: Int
    private(set) var bytes = 0
    private(set) var evictions = 0
    private var nodes: [Node] = []
    private var free: [Int] = []
    private var places: [CacheKey: Int] = [:]
    private var groups: [CacheGroup: Int] = [:]
    private var newest = -1
    private var oldest = -1
    private var hand = -1

    init(capacity: Int) { self.capacity = capacity }

    var count: Int { places.count }

    mutating func find(_ key: CacheKey) -> Item? {
        guard let place = places[key] else { return nil }
        nodes[place].isVisited = true
        return nodes[place].item
    }

    /// What is larger than the whole is not kept.
    mutating func insert(_ item: Item, as key: CacheKey, cost: Int, group: CacheGroup, path: CachePath) {
        remove(key)
        guard cost <= capacity else { return }
        while bytes + cost > capacity { evict() }
        let node = Node(key: key, item: item, cost: cost, group: group, path: path)
        let place: Int
        if let known = free.popLast() {
            nodes[known] = node
            place = known
        } else {
            place = nodes.count
            nodes.append(node)
        }
        nodes[place].older = newest
        if newest >= 0 { nodes[newest].newer = place }
        newest = place
        if oldest < 0 { oldest = place }
        if let first = groups[group] {
            nodes[place].nextOfGroup = first
            nodes[first].previousOfGroup = place
        }
        groups[group] = place
        places[key] = place
        bytes += cost
    }

    mutating func remove(_ key: CacheKey) {
        if let place = places[key] { unlink(place) }
    }

    private mutating func evict() {
        var place = hand >= 0 ? hand : oldest
        while place >= 0, nodes[place].isVisited {
            nodes[place].isVisited = false
            place = nodes[place].newer >= 0 ? nodes[place].newer : oldest
        }
        guard place >= 0 else { return }
        hand = nodes[place].newer
        unlink(place)
        evictions += 1
    }

    private mutating func unlink(_ place: Int) {
        let node = nodes[place]
        if node.newer >= 0 { nodes[node.newer].older = node.older } else { newest = node.older }
        if node.older >= 0 { nodes[node.older].newer = node.newer } else { oldest = node.newer }
        if hand == place { hand = node.newer }
        if node.nextOfGroup >= 0 { nodes[node.nextOfGroup].previousOfGroup = node.previousOfGroup }
        if node.previousOfGroup >= 0 {
            nodes[node.previousOfGroup].nextOfGroup = node.nextOfGroup
        } else if node.nextOfGroup >= 0 {
            groups[node.group] = node.nextOfGroup
        } else {
            groups[node.group] = nil
        }
        places[node.key] = nil
        bytes -= node.cost
        // The answer is let go at once, not when the place is used again.
        nodes[place].item = .pass(until: 0)
        free.append(place)
    }

    // MARK: Purging

    /// Takes away what belongs to the group, or of it only what is under the path. Answers how much that was.
    @discardableResult
    mutating func purge(_ group: CacheGroup, path: CachePath? = nil) -> Int {
        var place = groups[group] ?? -1
        var purged = 0
        while place >= 0 {
            let next = nodes[place].nextOfGroup
            if path == nil || nodes[place].path == path {
                unlink(place)
                purged += 1
            }
            place = next
        }
        return purged
    }

    /// All that belongs to an organization.
    @discardableResult
    mutating func purge(tenant: String) -> Int {
        groups.keys.filter { $0.tenant == tenant }.reduce(0) { $0 + purge($1) }
    }

    mutating func removeAll() {
        nodes.removeAll()
        free.removeAll()
        places.removeAll()
        groups.removeAll()
        (newest, oldest, hand, bytes) = (-1, -1, -1, 0)
    }
}
