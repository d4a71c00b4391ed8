import Contracts
import Foundation

/// What can be found.
enum DocumentType: String, CaseIterable, Codable, Sendable {
    case article
    case file
    case person
    /// What the assistant was given to know. Nothing announces these yet.
    case document

    /// What a caller must be allowed to find one: the right to read it where it lives.
    var needs: Permission {
        switch self {
        case .article: "content:read"
        case .file: "files:read"
        case .person: "users:read"
        case .document: "ai:read"
        }
    }
}

enum DocumentKind {}

/// The id of the object itself, such as an article's; ids are unique across types.
typealias DocumentID = TypedID<DocumentKind>

/// The source text of one object, as the events of its owner tell it. The index is derived from it alone.
struct Document: Equatable, Sendable {
    let type: DocumentType
    let id: DocumentID
    /// Counts the writes of the object: an event older than what is known changes nothing.
    let version: Int
    /// Nil: it is told from the text.
    var language: Language?
    let title: String
    var slug: String?
    /// Words beside the visible text by which it is found.
    var keywords: String?
    var excerpt: String?
    var category: String?
    var tags: [String] = []
    /// Plain text.
    var body: String
    var authorID: UserID?
    let publishedAt: Date
    /// The only person who may find it; nil: everybody who may read its type.
    var onlyFor: UserID?

    var needs: Permission { type.needs }

    /// The language of its words: the one stated, else the one its text shows, else `standard`.
    func language(or standard: Language) -> Language {
        language ?? Language.of("\(title) \(excerpt ?? "") \(body)", standard: standard)
    }
}

// MARK: - Of articles

extension Document {
    init(_ event: ArticlePublished) {
        self.init(
            type: .article, id: DocumentID(event.articleID.uuid), version: event.version, title: event.title, slug: event.slug,
            excerpt: event.excerpt, category: event.category, tags: event.tags, body: PlainText.read(html: event.content),
            authorID: event.authorID, publishedAt: event.publishedAt)
    }

    /// Nil for a draft. `time` stands in for the publication when the event does not tell it.
    init?(_ event: ArticleUpdated, at time: Date) {
        guard event.published else { return nil }
        self.init(
            type: .article, id: DocumentID(event.articleID.uuid), version: event.version, title: event.title, slug: event.slug,
            excerpt: event.excerpt, category: event.category, tags: event.tags, body: PlainText.read(html: event.content),
            authorID: event.authorID, publishedAt: event.publishedAt ?? time)
    }
}

// MARK: - Of files

extension Document {
    /// A file never changes: it is stored once, and deleted once.
    enum FileVersion {
        static let stored = 1
        static let deleted = 2
    }

    /// Of a file its name and kind are known. Its text is asked of the files service, which keeps the content sealed.
    init(_ event: FileUploaded, at time: Date) {
        let kind = event.contentType.split(separator: "/").last.map(String.init)
        self.init(
            type: .file, id: DocumentID(event.fileID.uuid), version: FileVersion.stored, title: event.name,
            keywords: ([kind].compactMap { $0 } + Self.parts(of: event.name)).joined(separator: " "), body: "",
            authorID: event.uploadedBy, publishedAt: time)
    }

    /// `annual`, `report`, `2026` and `pdf` of `annual-report_2026.pdf`; also where small letters meet capitals or digits.
    static func parts(of name: String) -> [String] {
        var parts: [String] = []
        var part = ""
        var before: Character?
        for character in name {
            let isBoundary = before.map { $0.isLowercase && character.isUppercase || $0.isNumber != character.isNumber } ?? false
            if isBoundary || !(character.isLetter || character.isNumber), !part.isEmpty {
                parts.append(part)
                part = ""
            }
            if character.isLetter || character.isNumber { part.append(character) }
            before = character
        }
        return part.isEmpty ? parts : parts + [part]
    }
}

// MARK: - Of people

extension Document {
    /// Events of people carry no version: the time at which they were written stands for it, and of one time the later kind wins.
    enum PersonVersion: Int {
        case added = 0
        case changed = 1
        case removed = 2

        func at(_ time: Date) -> Int { Int((time.timeIntervalSince1970 * 1000).rounded(.down)) * 4 + rawValue }
    }

    init(_ event: UserCreated, at time: Date) {
        self.init(
            person: event.userID, event.email, event.firstName, event.lastName, role: event.role, version: PersonVersion.added.at(time),
            at: time)
    }

    init(_ event: UserUpdated, at time: Date) {
        self.init(
            person: event.userID, event.email, event.firstName, event.lastName, role: event.role, version: PersonVersion.changed.at(time),
            at: time)
    }

    /// Names are not stemmed.
    private init(
        person id: UserID, _ email: String, _ firstName: String?, _ lastName: String?, role: String, version: Int, at time: Date
    ) {
        let name = [firstName, lastName].compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: " ")
        self.init(
            type: .person, id: DocumentID(id.uuid), version: version, language: .simple, title: name.isEmpty ? email : name,
            keywords: (Self.parts(of: email) + [role]).joined(separator: " "), body: email, publishedAt: time)
    }
}
