import Contracts
import Foundation

/// A domain that an organization says is its own, such as `example.org`: lowercase, without a dot at the end.
struct DomainName: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static var schema: Schema { .string(format: "hostname", minLength: 4, maxLength: 253) }

    /// Where anybody has an address: nobody's own.
    private static let shared: Set<String> = [
        "gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "msn.com", "yahoo.com", "icloud.com", "me.com", "aol.com",
        "gmx.de", "gmx.net", "web.de", "mail.com", "mail.ru", "yandex.ru", "proton.me", "protonmail.com", "qq.com", "163.com", "zoho.com",
        "fastmail.com", "t-online.de", "orange.fr", "comcast.net",
    ]

    static func check(_ text: String) throws(TextProblem) -> String {
        var name = text.trimmingCharacters(in: .whitespaces).lowercased()
        if name.hasSuffix(".") { name.removeLast() }
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        let isName = labels.allSatisfy { label in
            (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                && label.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 }
        }
        // A last label of digits alone would be an address.
        guard name.utf8.count <= 253, labels.count >= 2, isName, let last = labels.last,
            last.utf8.contains(where: { (97...122).contains($0) })
        else { throw TextProblem("invalid-domain", "must be a domain such as example.org") }
        guard !shared.contains(name) else { throw TextProblem("shared-domain", "is a domain on which anybody can have an address") }
        return name
    }
}

/// A domain on its way to being an organization's.
struct DomainClaim: Sendable, Equatable {
    /// The record's name is this and the domain.
    static let label = "_trionex-challenge"
    static let prefix = "trionex-verification="
    /// Checks in a row without the record after which a verified domain is nobody's again.
    static let missesAllowed = 3
    /// Seconds between two checks of a verified domain.
    static let recheckEvery: TimeInterval = 86_400
    /// Seconds between two checks on demand.
    static let patience: TimeInterval = 5

    let domain: DomainName
    let challenge: String
    private(set) var verifiedAt: Date?
    private(set) var checkedAt: Date?
    private(set) var misses: Int

    init(domain: DomainName, challenge: String, verifiedAt: Date? = nil, checkedAt: Date? = nil, misses: Int = 0) {
        self.domain = domain
        self.challenge = challenge
        self.verifiedAt = verifiedAt
        self.checkedAt = checkedAt
        self.misses = misses
    }

    var recordName: String { "\(Self.label).\(domain.rawValue)" }
    var recordValue: String { Self.prefix + challenge }

    func waits(at now: Date) -> Int? {
        guard let checkedAt else { return nil }
        let rest = checkedAt.addingTimeInterval(Self.patience).timeIntervalSince(now)
        return rest > 0 ? Int(rest.rounded(.up)) : nil
    }

    enum Outcome: Sendable, Equatable { case verified, stillVerified, notFound, lost }

    /// What the records found say. A verified domain survives a few misses: name servers have bad days.
    mutating func check(against records: [String], at now: Date) -> Outcome {
        checkedAt = now
        if records.contains(where: { $0.trimmingCharacters(in: .whitespaces) == recordValue }) {
            misses = 0
            guard verifiedAt == nil else { return .stillVerified }
            verifiedAt = now
            return .verified
        }
        guard verifiedAt != nil else { return .notFound }
        misses += 1
        guard misses >= Self.missesAllowed else { return .stillVerified }
        verifiedAt = nil
        return .lost
    }
}

enum DomainFailure: Failure, Equatable {
    case none, notVerified, taken
    case tooSoon(Int)

    var code: String {
        switch self {
        case .none: "no-domain"
        case .notVerified: "domain-not-verified"
        case .taken: "domain-taken"
        case .tooSoon: "too-soon"
        }
    }

    var kind: FailureKind {
        switch self {
        case .none: .notFound
        case .notVerified, .taken: .conflict
        case .tooSoon(let seconds): .limited(retryAfter: seconds)
        }
    }

    var detail: String? {
        switch self {
        case .none: "The organization has named no domain."
        case .notVerified: "The TXT record was not found with its value; records can take an hour to be seen everywhere."
        case .taken: "Another organization has shown this domain to be theirs."
        case .tooSoon: "The domain was looked at a moment ago."
        }
    }
}
