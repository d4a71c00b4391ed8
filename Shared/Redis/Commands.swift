/// Commands with the types of their arguments and answers.
extension Redis {
    package func get(_ key: String) async throws -> String? {
        let value = try await command(["GET", key])
        return value.isNull ? nil : value.text
    }

    package func getBytes(_ key: String) async throws -> [UInt8]? { try await command(["GET", key]).bytes }

    /// Returns false only when `onlyIfAbsent` and the key was there. `expiresIn` counts in milliseconds.
    @discardableResult
    package func set(
        _ key: String, _ value: String, expiresIn: Duration? = nil, onlyIfAbsent: Bool = false
    ) async throws -> Bool {
        try await set(key, Array(value.utf8), expiresIn: expiresIn, onlyIfAbsent: onlyIfAbsent)
    }

    @discardableResult
    package func set(
        _ key: String, _ value: [UInt8], expiresIn: Duration? = nil, onlyIfAbsent: Bool = false
    ) async throws -> Bool {
        var arguments = [Array("SET".utf8), Array(key.utf8), value]
        if let expiresIn { arguments += [Array("PX".utf8), Array(String(expiresIn.wholeMilliseconds).utf8)] }
        if onlyIfAbsent { arguments.append(Array("NX".utf8)) }
        return try await !command(arguments).isNull
    }

    /// Returns how many of the keys were there.
    @discardableResult
    package func delete(_ keys: String...) async throws -> Int { try await number(["DEL"] + keys) }

    /// Returns the number after the increment; a key that is not there counts as 0.
    @discardableResult
    package func increment(_ key: String, by amount: Int = 1) async throws -> Int { try await number(["INCRBY", key, String(amount)]) }

    /// Returns false when there is no such key.
    @discardableResult
    package func expire(_ key: String, in duration: Duration) async throws -> Bool {
        try await number(["PEXPIRE", key, String(duration.wholeMilliseconds)]) == 1
    }

    /// The time a key has left; nil when there is no such key or it does not expire.
    package func timeLeft(_ key: String) async throws -> Duration? {
        let milliseconds = try await number(["PTTL", key])
        return milliseconds < 0 ? nil : .milliseconds(milliseconds)
    }

    private func number(_ arguments: [String]) async throws -> Int {
        guard let number = try await command(arguments).integer else { throw RedisFailure.unexpectedAnswer }
        return number
    }
}

extension Duration {
    /// At least 1, since Redis refuses an expiry of 0.
    fileprivate var wholeMilliseconds: Int64 {
        max(1, components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000)
    }
}
