"""The words of the story world, in lists; `story_world` decides by its seed who and what belongs together.

One entry per comma or line. Everything a child would know; things are countable, so that "it" is always right.
"""

# ruff: noqa: E501


def _list(text: str, mark: str = ",") -> list[str]:
    return [" ".join(entry.split()) for entry in text.split(mark) if entry.strip()]


# Few and short, so that even a small vocabulary holds most of them whole; a name and a kind together make somebody.
GIRLS = _list(
    """Mina, Lily, Ruby, Nora, Ella, Tilly, Poppy, Daisy, Hazel, Ivy, Luna, Zoe, Mia, Anna, Clara, Bella, Molly, Rosie,
    Penny, Lucy, Emma, Kate, Maya, Nina, Pearl, Sally, Tess, Wendy, Dora, Lola, Vera, Zelda, Coco, Flora, Greta, Iris,
    Jenny, Kira, Lulu, Pippa, Susie, Winnie, Yuki, Ada, Fern, Gwen, June, Thea"""
)
BOYS = _list(
    """Bo, Tom, Max, Ben, Sam, Leo, Finn, Oscar, Toby, Jack, Hugo, Felix, Theo, Otto, Milo, Rufus, Barney, Charlie, Eddie,
    George, Harry, Igor, Kip, Louis, Monty, Ned, Olly, Percy, Ralph, Simon, Tim, Victor, Wally, Ziggy, Bruno, Casper, Gus,
    Ivan, Karl, Nico, Rory, Teddy, Zack, Archie, Basil, Frank, Pip, Rex"""
)

# kind: how it gets about (a row of MOVES), its cry
KINDS = {
    "fox": ("runs", "Yip"), "rabbit": ("hops", "Sniff"), "bear": ("plods", "Hrumph"), "owl": ("flies", "Hoo-hoo"),
    "mouse": ("scurries", "Squeak"), "otter": ("swims", "Chirp"), "hedgehog": ("scurries", "Snuffle"),
    "squirrel": ("scurries", "Chuck-chuck"), "badger": ("plods", "Grumph"), "duck": ("waddles", "Quack"),
    "frog": ("hops", "Ribbit"), "turtle": ("plods", "Hmm"), "beaver": ("swims", "Slap"), "mole": ("scurries", "Snuff"),
    "crow": ("flies", "Caw"), "deer": ("runs", "Bleat"), "goat": ("runs", "Meh"), "lamb": ("hops", "Baa"),
    "pony": ("runs", "Neigh"), "piglet": ("runs", "Oink"), "kitten": ("runs", "Meow"), "puppy": ("runs", "Woof"),
    "goose": ("waddles", "Honk"), "hen": ("waddles", "Cluck"), "raccoon": ("scurries", "Trill"),
    "panda": ("plods", "Munch"), "monkey": ("runs", "Hoo-ha"), "elephant": ("plods", "Toot"), "lion": ("runs", "Roar"),
    "tiger": ("runs", "Grr"), "penguin": ("waddles", "Honk-honk"), "kangaroo": ("hops", "Chuck"),
    "camel": ("plods", "Hurr"), "seal": ("waddles", "Arf"), "parrot": ("flies", "Squawk"), "bat": ("flies", "Eek"),
    "snail": ("plods", "Shh"), "ladybird": ("flies", "Bzz"), "cricket": ("hops", "Chirrup"), "toad": ("hops", "Croak"),
    "girl": ("walks", "Hello"), "boy": ("walks", "Hey"), "baker": ("walks", "Ding-dong"), "farmer": ("walks", "Ho-ho"),
    "dragon": ("flies", "Whoosh"), "robot": ("walks", "Beep"), "giant": ("plods", "Boom"), "goblin": ("scurries", "Hehe"),
    "witch": ("flies", "Heehee"), "wizard": ("walks", "Abracadabra"), "fairy": ("flies", "Tinkle"),
    "troll": ("plods", "Ugh"), "sailor": ("walks", "Ahoy"), "knight": ("walks", "Onward"),
}  # fmt: skip
MOVES = {
    "runs": _list("ran, trotted, dashed, bounded, hurried, raced, galloped, romped"),
    "hops": _list("hopped, bounced, skipped, leaped, jumped, sprang, bobbed"),
    "plods": _list("plodded, trudged, lumbered, ambled, strolled, marched, stomped, shuffled"),
    "flies": _list("flew, fluttered, glided, soared, flapped, swooped, sailed, floated"),
    "scurries": _list("scurried, scampered, crept, scuttled, pattered, tiptoed, darted, sneaked"),
    "swims": _list("swam, paddled, slid, splashed, drifted, wriggled, dived"),
    "waddles": _list("waddled, toddled, wobbled, rolled, padded, swayed, flopped"),
    "walks": _list("walked, wandered, strode, skipped along, hiked, rambled, tramped, set off"),
}
# trait: what everybody notices about somebody like that, with the slots of a character
TRAITS = {
    "shy": "{He} hardly ever spoke to anyone.", "brave": "Nothing could stop {him}.",
    "curious": "{He} asked a hundred questions a day.", "clever": "{He} could solve any riddle.",
    "gentle": "{He} never hurt a fly.", "cheerful": "{He} sang from morning till night.",
    "lazy": "{He} slept until noon.", "grumpy": "{He} grumbled about everything.",
    "kind": "{He} gave away half of what {he} had.", "quiet": "{He} moved without a sound.",
    "noisy": "You could hear {him} from far away.", "proud": "{He} looked into every mirror.",
    "patient": "{He} could wait for hours.", "silly": "{He} wore shoes on {his} ears.",
    "careful": "{He} checked everything twice.", "dreamy": "{His} head was in the clouds.",
    "stubborn": "{He} never changed {his} mind.", "polite": "{He} said please and thank you.",
    "playful": "{He} turned all work into a game.", "honest": "{He} had never told a lie.",
    "nervous": "{He} jumped at every noise.", "bold": "{He} always went first.",
    "greedy": "{He} never had enough.", "wise": "Many came to {him} for advice.",
    "messy": "{He} could never find {his} socks.", "tidy": "{His} floor was clean enough to eat from.",
    "cheeky": "{He} stuck out {his} tongue at kings.", "thoughtful": "{He} remembered every birthday.",
    "merry": "{He} danced in the rain.", "jolly": "{His} laugh made others laugh.",
    "sleepy": "{He} yawned all day long.", "busy": "{He} had no time to sit down.",
    "forgetful": "{He} tied knots to remember things.", "generous": "{His} door was open to all.",
    "fussy": "{He} did not like crumbs.", "lonely": "{He} often talked to the moon.",
    "daring": "{He} climbed the tallest trees.", "sly": "{He} knew a trick for everything.",
    "humble": "{He} never boasted.", "bossy": "{He} told everyone what to do.",
    "friendly": "{He} greeted every stranger.", "restless": "{He} could not sit still.",
    "calm": "{He} was never in a hurry.", "moody": "One moment {he} laughed, the next {he} cried.",
    "plump": "{He} liked to eat five times a day.", "tiny": "{He} could sleep in a teacup.",
    "tall": "{He} bumped {his} head on every door.", "skinny": "{He} could slip through any fence.",
    "fluffy": "{He} was as soft as a cloud.", "old": "{He} remembered things from long ago.",
    "young": "{He} still had a lot to learn.", "clumsy": "{He} broke a cup every day.",
    "graceful": "{He} walked as if {he} danced.", "helpful": "{He} carried bags for everyone.",
}  # fmt: skip
SPEECH = _list(
    """said, cried, whispered, shouted, mumbled, laughed, sighed, giggled, chuckled, called, announced, murmured, squealed,
    grunted, exclaimed, sang, gasped, grinned, yawned, puffed, declared, chirped, grumbled, muttered"""
)
MANNER = _list(
    """softly, loudly, happily, sadly, quickly, slowly, proudly, shyly, kindly, bravely, gently, quietly, cheerfully,
    politely, nervously, warmly, eagerly, calmly, gravely, sweetly, sleepily, wisely, boldly, brightly, crossly, firmly"""
)
SAYINGS = _list(
    """Oh my whiskers; Bless my boots; Well I never; Goodness gracious; Hop to it; Upon my word; Snips and snails;
    Thunder and lightning; Sugar and spice; Pickles and plums; Heavens above; Great green gooseberries; Jumping jellybeans;
    Mercy me; Dear oh dear; Hip hip hooray; By my beard; Stars and stripes; Fiddle-faddle; Holy mackerel; Crumbs and crusts;
    Slow and steady; Easy peasy; Never say never; Every little helps; All is well; Look before you leap; What a pickle;
    What a day; Wonders never cease; Butter my biscuits; Toads and tadpoles; Shiver my timbers; Leaping lizards;
    Nuts and berries; Rain or shine; Well done, moon; Suffering snowflakes; Bubbles and suds; Ding dong bell; Hot potatoes;
    Oh crumbs; Cross my heart; Honey and hay; Feathers and fluff; Sticks and stones; Bright and early; Good gravy;
    Merry moonbeams; Wibble wobble; Twinkle toes; Sweet dreams and cheese; Lucky ducky; Mind the puddles; Blow me down;
    Hold your horses; Tickle my toes; Roll up, roll up; Cabbages and kings; Nothing to it""",
    mark=";",
)
FEARS = _list(
    """the dark, thunder, deep water, spiders, high places, loud noises, wolves, ghosts, storms, snakes, the wind, mirrors,
    shadows, bees, strangers, fire, narrow tunnels, big crowds, cold mud, heavy snow, fog, ticking clocks, feathers,
    crocodiles, falling stars, old stairs, empty rooms, scarecrows, lightning, whirlpools, creaking doors, tall grass,
    masks, echoes, sharp thorns, swarms of gnats, hungry cats, rusty gates, steep hills, waking up alone"""
)
DREAMS = _list(
    """seeing the sea, sailing around the world, singing on a stage, building a tower, flying to the moon, dancing all night,
    writing a book, painting the sky, winning a race, climbing a mountain, growing a giant pumpkin, finding buried gold,
    meeting a queen, riding a whale, opening a shop, learning to juggle, baking a cake as big as a house, counting the stars,
    talking to the clouds, sleeping for a week, catching a rainbow, having a secret garden, becoming a doctor,
    living in a castle, driving a train, inventing a machine, playing in a band, walking on a tightrope, taming a lion,
    teaching at a school, planting a forest, keeping bees, finding a lost city, making everyone laugh, crossing the desert,
    ringing the biggest bell, skating on the frozen lake, knitting the longest scarf, touching a cloud, owning a boat,
    being invisible, seeing snow in summer, traveling by balloon, diving for pearls, guarding a treasure,
    hearing a mermaid sing, reading every book, joining the circus"""
)
SKILLS = _list(
    """whistle, juggle, dance, sing, climb, swim, dig, cook, bake, sew, knit, paint, draw, tell stories, tie knots, do magic,
    catch fish, read maps, fix clocks, play the drum, play the flute, play chess, stand on one leg, jump rope, skip stones,
    run, keep secrets, make jam, grow roses, build sandcastles, solve riddles, count backwards, roller-skate, yodel,
    carve wood, fold paper birds, find mushrooms, walk on stilts, blow bubbles, write poems, imitate birds, do cartwheels,
    balance plates, hide, wrestle, play the harp, row a boat, tame bees"""
)
DWELLINGS = _list(
    """a hollow oak, a tiny cottage, a snug burrow, a crooked house, a round hut, a houseboat, an old barrel, a tall tower,
    a mossy cave, a treehouse, a stone house, a blue tent, a red caravan, a big teapot, a cozy nest, a brick house,
    a warm barn, an upside-down boat, a wooden cabin, a little shed, a thatched cottage, a narrow attic, a sandy den,
    a clay hut, a grand villa, a quiet cellar, a giant boot, a yellow bus, a glass dome, a windy loft, an empty beehive,
    a straw hut, a lantern room, a stable, a pumpkin house, a wagon with painted wheels, a log house, a rocky hollow,
    a lopsided shack, a neat bungalow"""
)
WEAR = _list(
    """a red scarf, a blue hat, a green coat, a yellow raincoat, striped socks, a straw hat, a purple cape, a woolly jumper,
    round glasses, a silver bell, a flower crown, big boots, a spotted bow tie, a patched waistcoat, a leather belt,
    a pink apron, a golden earring, a velvet cloak, a checked cap, a feather in the hair, odd gloves, a tool belt,
    a pearl necklace, a shiny badge, a knitted shawl, a top hat, orange mittens, a daisy chain, a tiny backpack,
    a brass whistle, a sailor suit, a lace collar, a long ribbon, muddy shoes, a copper bracelet, a wooden medal,
    a warm poncho, a cotton bonnet, a white kerchief, a pointed hood"""
)
FAMILY = _list(
    """three noisy brothers, a baby sister, a wise grandmother, two cousins, a deaf old uncle, a hard-working mother,
    a funny father, seven sisters, a sleepy grandfather, a strict aunt, twin brothers, a pet worm, a clever older sister,
    nobody else at all, a very large family, a kind stepmother, a lazy cousin, a tame butterfly, an adopted duckling,
    a little brother, a goldfish called Bubble, a cactus called Spike, a family of ants, an old friend of the family"""
)

# Things somebody may own, lose, want, mend and give. kind of thing: names
THINGS = {
    "toy": _list(
        """kite, ball, doll, drum, spinning top, marble, puzzle, toy boat, hoop, toy train, whistle, balloon, rocking horse,
        teddy bear, wagon, jump rope, puppet, trumpet, flute, fiddle, scooter, sled, yo-yo, paper plane, toy castle, tricycle,
        bouncy ball, sailboat, rattle, jigsaw, bow, chess set, banjo, tambourine, windmill, bubble pipe, swing, dice cup"""
    ),
    "tool": _list(
        """hammer, ladder, bucket, rope, shovel, rake, broom, basket, lantern, candle, compass, map, net, wheelbarrow, key,
        lock, hook, paintbrush, spoon, pot, kettle, pan, bowl, jug, fishing rod, teapot, cup, plate, telescope, magnet,
        magnifying glass, oar, tent, sack, chair, stool, lamp, wheel, anchor, pillow, quilt, blanket, saddle, cushion"""
    ),
    "wear": _list(
        """hat, cap, scarf, coat, boot, mitten, sock, ribbon, button, belt, cloak, apron, umbrella, crown, ring, necklace,
        bracelet, glove, shawl, vest, sweater, slipper, mask, backpack, purse, brooch, helmet, handkerchief, wig, bow tie"""
    ),
    "treasure": _list(
        """shell, pebble, feather, coin, gem, pearl, crystal, medal, locket, clock, watch, book, letter, postcard, picture,
        mirror, music box, snow globe, jar, bottle, box, chest, bell, statue, vase, diary, photograph, notebook, pencil,
        stamp, flag, trophy, magic wand, fossil, hourglass, scroll, globe, fan, ink pot, painting"""
    ),
    "nature": _list(
        """flower, leaf, acorn, pinecone, stone, branch, seed, mushroom, sunflower, rose, tulip, clover, pumpkin, daisy,
        cactus, lily pad, nest, reed, walnut, chestnut, icicle, starfish, honeycomb, dandelion, bluebell, fern, apple tree,
        rosebush, turnip, gourd"""
    ),
}
LOOKS = _list(
    """red, blue, green, yellow, purple, orange, pink, white, black, brown, gray, golden, silver, shiny, tiny, huge, little,
    big, round, old, new, soft, smooth, heavy, light, bright, striped, spotted, painted, pretty, lovely, lucky, funny, odd,
    strange, plain, fancy, precious, beautiful, curly, crooked, long, short, wide, narrow, thin, thick, flat, dusty, sandy,
    muddy, glittering, sparkling, glowing, secret, borrowed, handmade, favorite, magic, speckled, faded, polished, tattered,
    patched, perfect, wonderful, rare, ancient, charming, squeaky, wobbly, scented, starry, rosy, pale, dark, snowy, sunny,
    cheap, dainty, sturdy, delicate, ordinary, peculiar, splendid, tangled, gleaming, rusty, creaky, frosty"""
)
MADE_OF = {
    "toy": _list("wooden, tin, paper, rubber, cardboard, bamboo"),
    "tool": _list("iron, wooden, copper, brass, steel, stone"),
    "wear": _list("woolen, velvet, silk, leather, cotton, lace"),
    "treasure": _list("glass, ivory, marble, crystal, bronze, jade"),
    "nature": _list("wild, dry, fresh, thorny, withered, juicy"),
}
# What mends or saves a thing of each kind
MENDERS = {
    "toy": _list(
        "some glue, a piece of string, a new wheel, a drop of paint, a bit of tape, two screws, a rubber band"
    ),
    "tool": _list(
        "a strong nail, some wire, a new handle, a little oil, a hot iron, a wooden peg, some tar, a clamp"
    ),
    "wear": _list(
        "a needle and thread, a safety pin, a patch, warm soap, a silver button, a knitting needle, a zipper"
    ),
    "treasure": _list(
        "a soft cloth, some silver polish, a tiny spring, melted wax, clear varnish, a jeweler's file"
    ),
    "nature": _list(
        "fresh water, good soil, a wooden stick, a little sunshine, some straw, a flowerpot, a watering can"
    ),
}
HARMS = {
    "toy": _list("snapped in two, lost a piece, cracked, came apart, split down the side, fell to bits"),
    "tool": _list("bent, got a hole, broke, cracked, fell to pieces, got a big dent"),
    "wear": _list("tore, came apart, ripped, got a nasty stain, fell into a puddle, lost its color"),
    "treasure": _list("chipped, cracked, got scratched, lost a piece, broke in two, turned dull"),
    "nature": _list("broke in two, cracked, got squashed, fell to bits, got muddy, lost its color"),
}
FOODS = _list(
    """blackberry pie, honey cake, carrot soup, apple tart, cheese toast, nut bread, mushroom stew, plum jam, corn muffins,
    pumpkin pie, rice pudding, fish cakes, ginger cookies, oat porridge, pea soup, pancakes, waffles, cherry pie, rye bread,
    roasted chestnuts, baked potatoes, leek soup, banana bread, cinnamon rolls, strawberry ice cream, lemon cake, tomato soup,
    dumplings, noodles, popcorn, raisin buns, milk and cookies, peanut butter, buttered toast, watermelon, blueberry muffins,
    coconut cake, pear crumble, seaweed salad, clover salad, acorn bread, hazelnut fudge, maple candy, cocoa,
    peppermint tea, apple juice, turnip stew, onion rings, beetroot soup, sunflower seeds, gingerbread, peach cobbler,
    raspberry jelly, scrambled eggs, grape jelly, chocolate pudding, spinach pie, dandelion salad, walnut cake, toffee apples"""
)
TASTES = _list(
    """sweet, warm, fresh, crunchy, sticky, creamy, hot, delicious, tasty, homemade, soft, fluffy, spicy, buttery, crispy,
    juicy, salty, golden, steaming, thick, famous, tangy, sugary, mild, cold, rich, smoky, chewy"""
)

# Places by the lie of the land: "preposition name"
PLACES = {
    "village": _list(
        """at the bakery, at the market, at the old mill, in the village square, at the school, at the blacksmith's forge,
        at the train station, in the library, at the toy shop, in the rose garden, at the town hall, by the stone well,
        in the orchard, at the dairy, at the inn, at the post office, in the barn, at the clock tower, in the castle kitchen,
        at the flower shop"""
    ),
    "wild": _list(
        """in the pine forest, on the windy hill, in the meadow, in the dark wood, at the hollow tree, in the valley,
        by the mossy rocks, in the cave, on the heath, in the bamboo grove, at the crossroads, in the berry patch,
        on the mountain, in the canyon, in the clearing, at the old ruins, in the wheat field, on the cliff,
        in the apple grove, by the fallen oak, in the bluebell wood, at the stone circle, in the desert, in the jungle"""
    ),
    "water": _list(
        """by the pond, at the harbor, on the beach, by the river, at the waterfall, by the lake, at the lighthouse,
        in the marsh, on the island, at the ferry, by the wooden bridge, in the lagoon, at the beaver dam, by the stream,
        on the pier, at the hot spring, in the bay, by the canal"""
    ),
}
SPOTS = {
    "village": _list(
        """under a bench, behind a barrel, on a high shelf, beside the door, under a heap of straw, inside a wooden crate,
        behind the curtains, under the stairs, on the windowsill, in a dusty corner, behind a cart, under a table,
        on top of the roof, inside a chimney, next to the gate, in a flowerpot, under a doormat, between two sacks of flour,
        in the gutter, behind a stack of books, inside an old drawer, on the garden wall, under a loose floorboard,
        in the cellar"""
    ),
    "wild": _list(
        """under a bush, behind a tree, inside a hollow log, under a pile of leaves, on a low branch, between two roots,
        in a rabbit hole, beside a big rock, in the tall ferns, under a toadstool, in a bird's nest, behind an anthill,
        in a patch of nettles, on a flat stone, at the end of the path, in a bramble, under a hedge, among the daisies,
        in a deep ditch, on a tree stump, beside a spider's web, in a crack of the rock, under a carpet of moss,
        in a fox's den"""
    ),
    "water": _list(
        """in the reeds, under a rowing boat, on a lily pad, behind the rocks, in the wet sand, under the pier posts,
        in a fishing net, between two shells, on a floating log, in a rock pool, under the seaweed, beside a rope,
        in the shallow water, behind a sand dune, on the muddy bank, inside a lobster pot, beneath a willow,
        at the bottom of a boat, in a heap of driftwood, on a sandbank, under an anchor, next to a crab, in the foam,
        behind a buoy"""
    ),
}
# What is heard and smelled there
SOUNDS = _list(
    """bells ringing, birds singing, water dripping, wind whistling, bees humming, leaves rustling, children laughing,
    hammers tapping, frogs croaking, doors banging, waves crashing, crickets chirping, an owl hooting, dogs barking,
    somebody snoring, a kettle boiling, wheels creaking, a fiddle playing, rain pattering, geese honking, a clock ticking,
    branches cracking, sheep bleating, thunder rumbling, a choir singing, cats meowing, flags flapping, fish splashing,
    a pig grunting, twigs snapping, a rooster crowing, an echo answering, chains clinking, a fire crackling"""
)
SMELLS = _list(
    """pine needles, warm bread, wet grass, roses, smoke, salt, honey, old books, mushrooms, fish, mint, hay, apples,
    cinnamon, mud, soap, coffee, rain, seaweed, lavender, burnt sugar, cheese, dust, tar, lemons, vanilla, garlic, wool,
    candle wax, paint, moss, peppermint, leather, strawberries, onions, fresh paint"""
)
DOING = _list(
    """mending a net, picking berries, reading a book, sweeping leaves, stirring a pot, counting clouds, chopping wood,
    feeding ducks, hanging up washing, painting a fence, polishing boots, building a dam, digging a hole, knitting a sock,
    flying a kite, watering flowers, singing a song, baking bread, fishing, napping, stacking stones, carving a spoon,
    washing carrots, playing the flute, chasing butterflies, drawing a map, writing a letter, weaving a basket,
    practicing handstands, collecting shells, looking for worms, repairing a wheel, sharpening a saw, drying herbs,
    balancing on one leg, blowing bubbles, gathering firewood, planting beans, shelling peas, sewing a flag, tuning a fiddle,
    brewing tea, brushing a pony, cleaning windows, peeling apples, rolling a barrel, cracking nuts, hammering nails,
    sorting buttons, making candles, sunbathing, throwing pebbles, whistling a tune, telling jokes, sketching a bird,
    stretching, waiting for a friend, eating a sandwich, packing a suitcase, trimming a hedge, raking hay, selling pots,
    tying knots, measuring the wind, looking at the sky, doing sums, juggling plums, dancing alone, squeezing lemons,
    churning butter, rehearsing a speech, building a snowman, paddling a canoe, watching ants, picking mushrooms"""
)
GAMES = _list(
    """hide-and-seek, tag, leapfrog, marbles, chess, pirates, hopscotch, checkers, catch, dominoes, tug of war, charades,
    follow the leader, blind man's buff, kings and queens, jacks, ring toss, bowls, explorers, musical chairs"""
)
WEATHERS = _list(
    """the sun was shining, a cold wind blew, soft rain was falling, snow covered everything, fog hid the path,
    the air was warm and still, gray clouds raced by, a rainbow stood in the sky, frost sparkled on the grass,
    the sky was clear and blue, it was terribly hot, a storm was coming, the leaves were turning red,
    petals drifted through the air, the moon was still up, hail rattled down, a gentle breeze blew,
    puddles lay everywhere, the first stars came out, dew hung on every blade of grass"""
)
TIMES = _list(
    """One morning, One day, One afternoon, One evening, Early one Sunday, One spring day, One summer morning,
    One autumn day, One winter evening, Last Monday, On a Tuesday, One rainy Wednesday, On the first day of May,
    One Thursday, On a quiet Friday, One Saturday, Just before dawn, After breakfast, Soon after lunch, Around noon,
    On market day, On the longest day of the year, At harvest time, On a holiday"""
)
FEELINGS = _list(
    """sad, worried, upset, cross, lonely, puzzled, frightened, unhappy, miserable, ashamed, nervous, gloomy, desperate,
    annoyed, shocked, hopeless"""
)
JOYS = _list(
    """happy, glad, proud, thankful, delighted, cheerful, excited, relieved, content, overjoyed, pleased, grateful, merry,
    joyful, hopeful, amazed"""
)
GESTURES = _list(
    """a big smile, a tear in one eye, a deep bow, a wink, a nod, open arms, a little skip, a long sigh, a loud laugh, a shrug, a wave, a yawn, a frown, red cheeks, wide eyes, a happy hop, a bright grin,
    a curious look, a serious face"""
)
AILMENTS = _list(
    """a bad cold, a sore throat, a tummy ache, a fever, an earache, hiccups, a cough, a stiff neck, itchy spots, a toothache,
    a headache, a sprained ankle, a runny nose, terrible sneezes"""
)
REMEDIES = _list(
    """honey and lemon, mint tea, chamomile flowers, ginger root, willow bark, onion syrup, thyme and sage, rose hip tea,
    warm milk, elderberry juice, garlic soup, lavender oil, nettle tea, fresh parsley, pine syrup, fennel seeds,
    apple vinegar, marigold cream, licorice drops, clean spring water"""
)
PROJECTS = _list(
    """a raft, a treehouse, a kite big enough to ride, a scarecrow, a puppet theater, a bridge of twigs, a snow fort,
    a wishing well, a flying machine, a birdhouse, a seesaw, a lemonade stand, a sand palace,
    a soapbox car, a secret den, a swing for two, a sundial, a weather vane, a garden pond, a submarine, a carousel,
    a giant slide, a mailbox, a telescope tower, a hammock"""
)
MATERIALS = _list(
    """rope, planks, nails, sails, wheels, paint, feathers, bricks, canvas, wire, glue, sticks, straw, clay, ribbons,
    buttons, old tires, paper, leaves, stones, cloth, springs, pipes, candles, corks, barrels, string, moss, shells, tin cans,
    bottles, wool, tiles, sand, bells, mirrors, pegs, baskets, hinges, branches"""
)
KEEPS = _list(
    """under the bed, on the windowsill, in a wooden box, on the highest shelf, behind the stove, in a blue jar,
    beside the pillow, on a hook by the door, in the top drawer, under the rug, on the mantelpiece, in an old suitcase,
    next to the clock, inside a hatbox, on the kitchen table, in the secret cupboard, by the fireplace, in a shoebox,
    under the stairs, on a velvet cushion, in a biscuit tin, behind the mirror, on the bedside table, in a picnic basket"""
)
CAUSES = {
    "toy": _list(
        "A puppy had run off with it, The wind had carried it there, It had rolled all the way down the hill, It had slipped out of a pocket"
    ),
    "tool": _list(
        "Somebody had borrowed it, It had fallen off a cart, A flood had washed it away, It had been left there after work"
    ),
    "wear": _list(
        "A gust of wind had blown it there, A bird had wanted it for a nest, It had slipped off on the way, It had been hung up to dry"
    ),
    "treasure": _list(
        "A magpie had stolen it, It had dropped through a hole in a bag, A raccoon had hidden it, It had been forgotten there"
    ),
    "nature": _list(
        "A squirrel had buried it there, The stream had carried it along, It had tumbled down in the storm, An ant parade had dragged it there"
    ),
}
