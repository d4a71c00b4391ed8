import Foundation

/// Where Redis is and how much of it one program may use.
package struct RedisConfiguration: Sendable, Equatable {
    package var host: String
    package var port: Int
    package var username: String?
    package var password: String?
    /// The number given to `SELECT` on each new connection.
    package var database: Int
    /// Connections that carry commands, each with a thread of its own. Subscriptions use one more.
    package var connections = 2
    /// Commands that one connection sends in one write.
    package var batch = 32
    /// Commands that may wait for a connection; further ones get `RedisFailure.busy`.
    package var queueLimit = 4096
    /// How long an answer may take. A command waits twice this long at most: once for a connection, once for its answer.
    package var timeout: Duration = .milliseconds(500)
    /// How long it may take to open a connection.
    package var connectTimeout: Duration = .seconds(1)
    /// How often an idle connection is asked whether it still lives.
    package var probeInterval: Duration = .seconds(1)
    /// The pauses between attempts to connect again.
    package var backOff = BackOff()

    package init(
        host: String = "127.0.0.1", port: Int = 6379, username: String? = nil, password: String? = nil, database: Int = 0
    ) {
        self.host = host
        self.port = port
        self.username = username
        self.password = password
        self.database = database
    }

    /// Takes `redis://[[username]:password@]host[:port][/database]`; parts of the user information may be percent-encoded.
    package init(url text: String) throws(RedisConfigurationError) {
        guard let url = URLComponents(string: text), let scheme = url.scheme?.lowercased() else { throw .malformed }
        if scheme == "rediss" { throw .encryptionUnsupported }
        guard scheme == "redis" else { throw .unknownScheme(scheme) }
        guard let host = url.host, !host.isEmpty, url.query == nil, url.fragment == nil else { throw .malformed }
        let port = url.port ?? 6379
        guard (1...65535).contains(port) else { throw .malformed }
        var database = 0
        let path = url.path.drop { $0 == "/" }
        if !path.isEmpty {
            guard let number = Int(path), number >= 0 else { throw .badDatabase(String(path)) }
            database = number
        }
        let bareHost = host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
        self.init(
            host: bareHost, port: port, username: url.user.flatMap { $0.isEmpty ? nil : $0 },
            password: url.password.flatMap { $0.isEmpty ? nil : $0 }, database: database)
        if self.password == nil, self.username != nil { throw .userWithoutPassword }
    }
}

/// Why the address of Redis cannot be used. The text never repeats a password.
package enum RedisConfigurationError: Error, Equatable, CustomStringConvertible {
    case malformed
    case unknownScheme(String)
    /// The hiredis of Debian 12 (0.14) has no TLS.
    case encryptionUnsupported
    case badDatabase(String)
    case userWithoutPassword

    package var description: String {
        switch self {
        case .malformed: "The address of Redis must have the form redis://[[user]:password@]host[:port][/database]."
        case .unknownScheme(let scheme): "The address of Redis must begin with redis://, not \(scheme)://."
        case .encryptionUnsupported:
            "The address of Redis begins with rediss:// (TLS), which the hiredis library of this system (0.14) cannot do. "
                + "Use redis:// to a TLS tunnel beside this program (stunnel, a service mesh), or inside a private network."
        case .badDatabase(let text): "The database in the address of Redis must be a number such as /0, not /\(text)."
        case .userWithoutPassword:
            "The address of Redis names a user without a password: write redis://user:password@host, or redis://:password@host."
        }
    }
}
