import Contracts
import Foundation

/// What `TokenVerifier` needs of the claims of an access token (API.md, "Token"; `AccessClaims` is the whole).
struct TokenClaims {
    let expires: Int
    let notBefore: Int
    let issued: Int
    /// Nil when the claims describe nobody: a person without a session, an audience that is not ours.
    let caller: Caller?

    /// Throws unless these are the claims of an issuer's that is ours, each at most once and of its type. Others are passed over.
    init(json: UnsafeRawBufferPointer) throws(JSONCursor.Malformed) {
        var found = Found()
        var cursor = try JSONCursor(json)
        var isFirst = true
        try cursor.openObject()
        while let name = try cursor.member(&isFirst) {
            if let claim = Claim(name) { try found.read(claim, &cursor) } else { try cursor.skip() }
        }
        try cursor.finish()
        guard found.claims.isSuperset(of: .required), let subject = found.subject, let issuer = found.issuer, issuer == Self.issuer,
            let audience = found.audience
        else { throw JSONCursor.Malformed() }
        (expires, notBefore, issued) = (found.expires, found.notBefore, found.issued)
        if audience == Self.audience {
            caller = try found.caller(subject)
        } else if audience == Self.internalAudience {
            let name = try subject.string()
            caller = name.hasPrefix("service:") ? Caller.service(ServiceName(rawValue: String(name.dropFirst(8))), for: .platform) : nil
        } else {
            caller = nil
        }
    }

    /// Those of `AccessClaims`, as bytes to compare with.
    private static let issuer: StaticString = "trionex-auth-service"
    private static let audience: StaticString = "trionex-platform"
    private static let internalAudience: StaticString = "trionex-internal"
}

/// The claims that are read, each with a bit of its own.
private struct Claim: OptionSet {
    let rawValue: UInt32

    static let sub = Claim(rawValue: 1 << 0)
    static let iss = Claim(rawValue: 1 << 1)
    static let aud = Claim(rawValue: 1 << 2)
    static let exp = Claim(rawValue: 1 << 3)
    static let iat = Claim(rawValue: 1 << 4)
    static let nbf = Claim(rawValue: 1 << 5)
    static let jti = Claim(rawValue: 1 << 6)
    static let sid = Claim(rawValue: 1 << 7)
    static let roles = Claim(rawValue: 1 << 8)
    static let permissions = Claim(rawValue: 1 << 9)
    static let org = Claim(rawValue: 1 << 10)
    static let amr = Claim(rawValue: 1 << 11)
    static let plan = Claim(rawValue: 1 << 12)
    static let authTime = Claim(rawValue: 1 << 13)
    static let act = Claim(rawValue: 1 << 14)
    static let key = Claim(rawValue: 1 << 15)
    static let clientID = Claim(rawValue: 1 << 16)
    static let scope = Claim(rawValue: 1 << 17)

    static let required: Claim = [.sub, .iss, .aud, .exp, .iat, .nbf, .jti, .roles, .permissions]

    init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Nil for one that is none of these.
    init?(_ name: JSONCursor.Text) {
        // Most names have three letters: they are compared as one number.
        if name.bytes.count == 3 {
            switch Self.number(name.bytes[0], name.bytes[1], name.bytes[2]) {
            case Self.number("s", "u", "b"): self = .sub
            case Self.number("i", "s", "s"): self = .iss
            case Self.number("a", "u", "d"): self = .aud
            case Self.number("e", "x", "p"): self = .exp
            case Self.number("i", "a", "t"): self = .iat
            case Self.number("n", "b", "f"): self = .nbf
            case Self.number("j", "t", "i"): self = .jti
            case Self.number("s", "i", "d"): self = .sid
            case Self.number("o", "r", "g"): self = .org
            case Self.number("a", "m", "r"): self = .amr
            case Self.number("a", "c", "t"): self = .act
            case Self.number("k", "e", "y"): self = .key
            default: return nil
            }
            return
        }
        if name == "roles" {
            self = .roles
        } else if name == "permissions" {
            self = .permissions
        } else if name == "plan" {
            self = .plan
        } else if name == "auth_time" {
            self = .authTime
        } else if name == "client_id" {
            self = .clientID
        } else if name == "scope" {
            self = .scope
        } else {
            return nil
        }
    }

    private static func number(_ a: UInt8, _ b: UInt8, _ c: UInt8) -> UInt32 { UInt32(a) | UInt32(b) << 8 | UInt32(c) << 16 }
    private static func number(_ a: Unicode.Scalar, _ b: Unicode.Scalar, _ c: Unicode.Scalar) -> UInt32 {
        number(UInt8(ascii: a), UInt8(ascii: b), UInt8(ascii: c))
    }
}

/// The claims as they are found, in whatever order.
private struct Found {
    var claims: Claim = []
    var subject: JSONCursor.Text?
    var issuer: JSONCursor.Text?
    var audience: JSONCursor.Text?
    var expires = 0
    var notBefore = 0
    var issued = 0
    var session: UUID?
    var tenant: UUID?
    var key: UUID?
    var client: UUID?
    var impersonator: UUID?
    var authTime: Int?
    var roles: [String] = []
    var permissions: [Permission] = []
    var methods: [String] = []
    var plan: String?

    mutating func read(_ claim: Claim, _ cursor: inout JSONCursor) throws(JSONCursor.Malformed) {
        guard claims.isDisjoint(with: claim) else { throw JSONCursor.Malformed() }
        claims.insert(claim)
        // An optional one that is null is not there.
        if try cursor.null() {
            guard Claim.required.isDisjoint(with: claim) else { throw JSONCursor.Malformed() }
            return
        }
        switch claim {
        case .sub: subject = try cursor.text()
        case .iss: issuer = try cursor.text()
        case .aud: audience = try cursor.text()
        case .exp: expires = try cursor.integer()
        case .iat: issued = try cursor.integer()
        case .nbf: notBefore = try cursor.integer()
        case .sid: session = try Self.uuid(try cursor.text())
        case .org: tenant = try Self.uuid(try cursor.text())
        case .key: key = try Self.uuid(try cursor.text())
        case .clientID: client = try Self.uuid(try cursor.text())
        case .act: impersonator = try Self.actingParty(&cursor)
        case .authTime: authTime = try cursor.integer()
        case .roles: roles = try Self.strings(&cursor)
        case .amr: methods = try Self.strings(&cursor)
        case .permissions: permissions = try Self.permissions(&cursor)
        case .plan: plan = try cursor.text().string()
        // Only their being texts is looked at.
        default: _ = try cursor.text()
        }
    }

    /// A key's token says its key, a client's own is about the client; everything else is a person with a session.
    func caller(_ subject: JSONCursor.Text) throws(JSONCursor.Malformed) -> Caller? {
        guard let tenant else { return nil }
        let principal: Caller.Principal
        if let key {
            guard let owner = try? Self.uuid(subject) else { return nil }
            principal = .apiKey(APIKeyID(key), owner: UserID(owner))
        } else if let client, try subject.string() == ClientID(client).description {
            principal = .client(ClientID(client))
        } else {
            guard let user = try? Self.uuid(subject), session != nil else { return nil }
            principal = .person(UserID(user))
        }
        return Caller(
            principal, tenant: TenantID(tenant), roles: roles, permissions: PermissionSet(permissions),
            session: session.map { SessionID($0) }, plan: plan, methods: methods,
            authenticatedAt: authTime.map { Date(timeIntervalSince1970: TimeInterval($0)) },
            issuedAt: Date(timeIntervalSince1970: TimeInterval(issued)), impersonator: impersonator.map { UserID($0) },
            client: client.map { ClientID($0) })
    }

    private static func actingParty(_ cursor: inout JSONCursor) throws(JSONCursor.Malformed) -> UUID {
        var party: UUID?
        var isFirst = true
        try cursor.openObject()
        while let name = try cursor.member(&isFirst) {
            guard name == "sub" else {
                try cursor.skip(depth: 1)
                continue
            }
            guard party == nil else { throw JSONCursor.Malformed() }
            party = try uuid(try cursor.text())
        }
        guard let party else { throw JSONCursor.Malformed() }
        return party
    }

    private static func strings(_ cursor: inout JSONCursor) throws(JSONCursor.Malformed) -> [String] {
        var strings: [String] = []
        var isFirst = true
        try cursor.openArray()
        while try cursor.element(&isFirst) { strings.append(try cursor.text().string()) }
        return strings
    }

    private static func permissions(_ cursor: inout JSONCursor) throws(JSONCursor.Malformed) -> [Permission] {
        var permissions: [Permission] = []
        var isFirst = true
        try cursor.openArray()
        while try cursor.element(&isFirst) {
            guard let permission = try permission(try cursor.text()) else { throw JSONCursor.Malformed() }
            permissions.append(permission)
        }
        return permissions
    }

    /// As `Permission` reads it, whose splitting of any text by its characters would cost as much as all the rest of a token.
    private static func permission(_ text: JSONCursor.Text) throws(JSONCursor.Malformed) -> Permission? {
        let bytes = text.bytes
        guard !text.isEscaped, bytes.allSatisfy({ $0 < 0x80 }) else { return Permission(try text.string()) }
        if text == "*" { return Permission(resource: "*", action: "*") }
        let point = UInt8(ascii: ":")
        guard let end = bytes.firstIndex(of: point), end > 0, end + 1 < bytes.count, !bytes[(end + 1)...].contains(point) else {
            return nil
        }
        return Permission(
            resource: String(decoding: bytes[..<end], as: UTF8.self), action: String(decoding: bytes[(end + 1)...], as: UTF8.self))
    }

    /// The 36-character form, in either case (RFC 9562, section 4).
    private static func uuid(_ text: JSONCursor.Text) throws(JSONCursor.Malformed) -> UUID {
        let bytes = text.bytes
        guard bytes.count == 36 else { throw JSONCursor.Malformed() }
        var halves: (UInt64, UInt64) = (0, 0)
        for (index, byte) in bytes.enumerated() {
            if index == 8 || index == 13 || index == 18 || index == 23 {
                guard byte == UInt8(ascii: "-") else { throw JSONCursor.Malformed() }
                continue
            }
            guard let digit = JSONCursor.digit(byte) else { throw JSONCursor.Malformed() }
            if index < 18 { halves.0 = halves.0 << 4 | UInt64(digit) } else { halves.1 = halves.1 << 4 | UInt64(digit) }
        }
        let big = (halves.0.bigEndian, halves.1.bigEndian)
        return withUnsafeBytes(of: big) { UUID(uuid: $0.loadUnaligned(as: uuid_t.self)) }
    }
}
