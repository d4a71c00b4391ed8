import Contracts
import Foundation
import ServiceKit

/// The body of POST and PUT. What is left out is empty, but for the slug: POST makes one from the title, PUT keeps the one
/// there is, so that an address does not change by omission.
struct ArticleDraft: Decodable, Sendable {
    let title: Title
    let slug: Slug?
    let content: SafeHTML
    let excerpt: ShortText?
    let category: Label?
    let tags: TagList?
    let featured: Bool?
    let metaTitle: MetaTitle?
    let metaDescription: ShortText?
    let canonicalUrl: WebAddress?
    let ogImage: WebAddress?

    func fields(slug: Slug) -> ArticleFields {
        ArticleFields(
            title: title, slug: slug, content: content, excerpt: excerpt, category: category, tags: tags ?? .empty,
            featured: featured ?? false, metaTitle: metaTitle, metaDescription: metaDescription, canonicalURL: canonicalUrl,
            ogImage: ogImage)
    }
}

/// The body of PATCH (RFC 7396): left out keeps, null clears, a value sets.
struct ArticlePatch: Decodable, Sendable {
    let title: Change<Title>
    let slug: Change<Slug>
    let content: Change<SafeHTML>
    let excerpt: Change<ShortText>
    let category: Change<Label>
    let tags: Change<TagList>
    let featured: Change<Bool>
    let metaTitle: Change<MetaTitle>
    let metaDescription: Change<ShortText>
    let canonicalUrl: Change<WebAddress>
    let ogImage: Change<WebAddress>

    func applied(to fields: ArticleFields) throws -> ArticleFields {
        guard let title = title.applied(to: fields.title), let slug = slug.applied(to: fields.slug),
            let content = content.applied(to: fields.content)
        else { throw ValidationFailure(clearedInVain) }
        return ArticleFields(
            title: title, slug: slug, content: content, excerpt: excerpt.applied(to: fields.excerpt),
            category: category.applied(to: fields.category), tags: tags.applied(to: fields.tags) ?? .empty,
            featured: featured.applied(to: fields.featured) ?? false, metaTitle: metaTitle.applied(to: fields.metaTitle),
            metaDescription: metaDescription.applied(to: fields.metaDescription),
            canonicalURL: canonicalUrl.applied(to: fields.canonicalURL), ogImage: ogImage.applied(to: fields.ogImage))
    }

    /// An article without these is none.
    private var clearedInVain: [FieldError] {
        func refused(_ change: Change<some Codable & Sendable>, _ pointer: String) -> FieldError? {
            guard case .clear = change else { return nil }
            return FieldError(pointer: pointer, code: "null", detail: "must not be null")
        }
        return [refused(title, "/title"), refused(slug, "/slug"), refused(content, "/content")].compactMap { $0 }
    }
}

/// The query of the list.
struct ArticleQuery: Decodable, Sendable {
    let limit: PageLimit?
    let cursor: Cursor?
    let sort: ArticleSort?
    let status: ArticleStatus?
    let category: Label?
    let tag: Label?
    let author: UserID?
    let featured: Bool?
    let q: FilterText?

    func filter(for caller: Caller) -> ArticleFilter {
        ArticleFilter(
            audience: Audience(caller), status: status, category: category, tag: tag, author: author, featured: featured, text: q)
    }
}

/// The query of lists that have nothing to choose.
struct PageQuery: Decodable, Sendable {
    let limit: PageLimit?
    let cursor: Cursor?
}
