import Contracts
package import Foundation
package import JWTKit
package import Logging
package import ServiceKit
import Synchronization

/// The signing keys of the platform: RSA of 2048 bits, sealed files in a directory that all replicas of auth share.
///
/// Keys overlap. A new one is published at once and signs when nobody can have a key set from before it any more; until then the one
/// before it does, which stays published until every token it signed has expired. The ring looks into its directory every few
/// seconds, so that a key that was added, by another replica or by `auth rotate-keys`, needs no restart.
package final class KeyRing: Sendable {
    /// Seconds for which the published keys may be kept by whoever has read them.
    package static let cacheSeconds = 300
    /// Seconds between two looks into the directory.
    package static let lookSeconds: TimeInterval = 2
    /// A new key is published this long before it signs: all replicas have noticed it, and whoever kept the keys from before has asked anew.
    package static let leadSeconds = TimeInterval(cacheSeconds) + 5 * lookSeconds
    /// The clocks of two machines differ by less.
    static let clockMargin: TimeInterval = 60

    private struct KeySet: Codable {
        let keys: [SigningKey.Public]
    }

    private struct State: Sendable {
        var keys: [SigningKey] = []
        var names: [String] = []
        var lookedAt = Date.distantPast
        var isUnreadable = false
        /// The ids of the keys in the published set.
        var published: [String] = []
        var document = Data()
        var publicKeys = JWKS(keys: [])
    }

    private let directory: KeyDirectory
    /// The longest life of any token: how long a key stays published after it has signed the last one.
    private let longestToken: TimeInterval
    private let now: @Sendable () -> Date
    private let logger: Logger
    private let state: Mutex<State>

    private init(
        _ directory: KeyDirectory, longestToken: TimeInterval, now: @escaping @Sendable () -> Date, logger: Logger
    ) throws {
        self.directory = directory
        self.longestToken = longestToken
        self.now = now
        self.logger = logger
        var state = State()
        try Self.load(directory, into: &state)
        try Self.publish(&state, at: now(), longestToken)
        state.lookedAt = now()
        guard !state.keys.isEmpty else {
            throw KeyDirectory.Unusable(description: "there is no signing key in \(directory.path)")
        }
        self.state = Mutex(state)
    }

    /// Reads the keys of a directory; makes the directory and a first key when there is none, and seals the plain ones of an earlier version.
    ///
    /// Several processes may start at once on one directory: a lock lets one of them make the key.
    package static func open(
        _ directory: String, sealing: Sealing, longestToken: TimeInterval = 3_600, now: @escaping @Sendable () -> Date = { Date() },
        logger: Logger
    ) throws -> KeyRing {
        let files = KeyDirectory(path: directory, sealing: sealing)
        if files.names.isEmpty || files.hasPlainKeys {
            try files.locked {
                let sealed = try files.sealPlainKeys(lead: TimeInterval(cacheSeconds))
                if sealed > 0 { logger.notice("plain signing keys were sealed", metadata: ["keys": "\(sealed)"]) }
                guard files.names.isEmpty else { return }
                // Nothing was published before it, so nobody has to be waited for.
                let time = now()
                try files.write(try SigningKey.make(at: time, signsFrom: time))
                logger.notice("a signing key was made", metadata: ["directory": "\(directory)"])
            }
        }
        return try KeyRing(files, longestToken: longestToken, now: now, logger: logger)
    }

    // MARK: - What is published and what signs

    /// The key set (RFC 7517), as it is published.
    package var document: Data { current().document }

    /// The same, for a verifier in this process.
    package var publicKeys: JWKS { current().publicKeys }

    /// The key that signs now: the newest that everybody can know. The oldest when there is none: before it nothing was published.
    package var keyID: String { signer.kid }

    private var signer: SigningKey {
        let keys = current().keys, now = now()
        return keys.last { $0.signsFrom <= now } ?? keys[0]
    }

    /// A JWT with the header `{alg: RS256, typ, kid}`.
    package func sign(_ claims: some JWTPayload, type: String = "JWT") async throws -> String {
        var header = JWTHeader()
        header.typ = type
        return try await signer.sign(claims, header)
    }

    /// Those that have signed a token which may still live, the one that signs, and those that will.
    private static func publish(_ state: inout State, at now: Date, _ longestToken: TimeInterval) throws {
        let keys = state.keys
        let published = keys.indices.filter { !isOver($0, of: keys, at: now, longestToken) }.map { keys[$0].published }
        guard published.map(\.kid) != state.published else { return }
        let document = try JSON.encode(KeySet(keys: published))
        state.publicKeys = try JSONDecoder().decode(JWKS.self, from: document)
        state.document = document
        state.published = published.map(\.kid)
    }

    /// A key signs until the next one does; then its last token lives on for at most `longestToken`.
    private static func isOver(_ index: Int, of keys: [SigningKey], at now: Date, _ longestToken: TimeInterval) -> Bool {
        guard index + 1 < keys.count else { return false }
        return keys[index + 1].signsFrom.addingTimeInterval(longestToken + clockMargin) <= now
    }

    /// Looks into the directory when the last look was a while ago. What cannot be read changes nothing.
    private func current() -> State {
        let now = now()
        return state.withLock { state in
            guard abs(now.timeIntervalSince(state.lookedAt)) >= Self.lookSeconds else { return state }
            state.lookedAt = now
            do {
                try Self.load(directory, into: &state)
                try Self.publish(&state, at: now, longestToken)
                state.isUnreadable = false
            } catch {
                if !state.isUnreadable { logger.error("the signing keys cannot be read anew", metadata: ["reason": "\(error)"]) }
                state.isUnreadable = true
            }
            return state
        }
    }

    private static func load(_ directory: KeyDirectory, into state: inout State) throws {
        let names = directory.names
        guard names != state.names, !names.isEmpty else { return }
        let keys = try names.compactMap { try directory.read($0) }
        guard !keys.isEmpty else { return }
        state.names = names
        state.keys = keys.sorted { ($0.signsFrom, $0.kid) < ($1.signsFrom, $1.kid) }
    }

    // MARK: - Rotation

    /// Adds a key to a directory, running or not. Returns its id and from when on it signs.
    ///
    /// - Parameter replacing: a key got into wrong hands: the new one signs at once, and all others are gone.
    package static func rotate(
        _ directory: String, sealing: Sealing, now: Date, replacing: Bool = false
    ) throws -> (kid: String, signsFrom: Date) {
        let files = KeyDirectory(path: directory, sealing: sealing)
        return try files.locked { try add(to: files, now: now, replacing: replacing) }
    }

    private static func add(to files: KeyDirectory, now: Date, replacing: Bool = false) throws -> (kid: String, signsFrom: Date) {
        let known = files.names
        let isFirst = known.isEmpty || replacing
        let key = try SigningKey.make(at: now, signsFrom: isFirst ? now : now.addingTimeInterval(leadSeconds))
        try files.write(key)
        if replacing { for name in known { files.remove(name) } }
        return (key.kid, key.signsFrom)
    }

    /// Adds a key when the newest is as old as `age`. One of several replicas does, whoever comes first. True when it was this one.
    package func rotate(whenOlderThan age: TimeInterval) throws -> Bool {
        func isDue(_ keys: [SigningKey]) -> Bool {
            guard let newest = keys.map(\.madeAt).max() else { return false }
            return now().timeIntervalSince(newest) >= age
        }
        guard isDue(current().keys) else { return false }
        let made = try directory.locked { () -> (kid: String, signsFrom: Date)? in
            guard isDue(try directory.names.compactMap { try directory.read($0) }) else { return nil }
            return try Self.add(to: directory, now: now())
        }
        state.withLock { $0.lookedAt = .distantPast }
        guard let made else { return false }
        logger.notice("a new signing key was made", metadata: ["kid": "\(made.kid)", "signsFrom": "\(Timestamp.text(made.signsFrom))"])
        return true
    }

    /// Removes the files of keys whose last token has expired. Returns how many this replica removed.
    @discardableResult
    package func removeOver() throws -> Int {
        let time = now()
        func over(_ keys: [SigningKey]) -> Set<String> {
            Set(keys.indices.filter { Self.isOver($0, of: keys, at: time, longestToken) }.map { keys[$0].kid })
        }
        guard !over(current().keys).isEmpty else { return 0 }
        let removed = try directory.locked { () -> Int in
            let named = try directory.names.compactMap { name in try directory.read(name).map { (name: name, key: $0) } }
                .sorted { ($0.key.signsFrom, $0.key.kid) < ($1.key.signsFrom, $1.key.kid) }
            let gone = over(named.map(\.key))
            let files = named.filter { gone.contains($0.key.kid) }
            for file in files { directory.remove(file.name) }
            return files.count
        }
        state.withLock { $0.lookedAt = .distantPast }
        if removed > 0 { logger.notice("signing keys whose tokens have all expired were removed", metadata: ["keys": "\(removed)"]) }
        return removed
    }
}

extension AuthSettings {
    /// No token that the keys sign lives longer, whatever it is for.
    var longestToken: TimeInterval { max(accessLifetime, serviceTokenLifetime, Impersonation.longest, 3_600) }

    /// Throws when there is no key, or none can be opened.
    func keyRing(_ sealing: Sealing?, now: @escaping @Sendable () -> Date, logger: Logger) throws -> KeyRing {
        guard let sealing else {
            throw KeyDirectory.Unusable(description: "TRIONEX_SEALING_KEY must be set: the signing keys are sealed with it")
        }
        return try KeyRing.open(keyDirectory, sealing: sealing, longestToken: longestToken, now: now, logger: logger)
    }
}
